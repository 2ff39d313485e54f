"""Your own videos: a folder of video files, or one file, with or without true masks."""

import dataclasses
import functools
import logging
import math
from pathlib import Path

import numpy as np

from stiid.data.options import check_types
from stiid.data.source import Source
from stiid.data.stored import TfdsSource, prepare
from stiid.data.video.array_file import ArrayFile, is_array, split_path
from stiid.data.video.clip_plan import ClipPlan, Segment, split_by_time
from stiid.data.video.clips import VideoClips, VideoClipsConfig
from stiid.data.video.finding import find_videos
from stiid.data.video.mask_folder import MaskFolder
from stiid.data.video.opening import open_file
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.errors import printable
from stiid.paths import local_path

_LOG = logging.getLogger("stiid")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnVideoSpec:
    """Options: where the videos are, and how clips are cut from them.

    Attributes:
      path: a video (mp4, avi, gif, ...), a folder of images (one video), a file of arrays (see
        `array_file.ArrayFile`), or a folder of these, at any depth (images beside videos are
        ignored).
      masks: a folder with a folder of PNG masks for every video, or ""; see
        `mask_folder.MaskFolder`. Its name is the video's path relative to `path`, without a
        file's suffix. Files of arrays contain their masks.
      crop: (left, top, width, height) of a window in pixels of the files; () is all of it.
      height, width: size of the result.
      channels: 3 (RGB) or 1 (gray).
      stride: frames of the file per frame of a clip.
      aspect: how videos of another aspect ratio are fitted: "crop" shows their middle,
        "letterbox" all of it between black bars, "stretch" all of it, distorted.
      frames: clip length T; clips follow each other without overlap.
      validation, test: shares of the videos, at least one video each unless the share is 0. A
        single video is split by time instead, with a gap of one clip between the splits.
      seed: seed of the assignment of videos to splits.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = "videos"
    masks: str = ""
    crop: tuple[int, ...] = ()
    height: int = 64
    width: int = 64
    channels: int = 3
    stride: int = 1
    aspect: str = "crop"
    frames: int = 20
    validation: float = 0.1
    test: float = 0.0
    seed: int = 0

    def __post_init__(self):
        check_types(self)
        if self.frames < 1 or self.seed < 0:
            raise ValueError(
                f"frames must be at least 1 and seed not negative, got {self.frames}, {self.seed}"
            )
        if min(self.shares.values()) < 0 or self.shares["train"] <= 0:
            raise ValueError(
                "validation and test must be shares >= 0 that leave something to train on, "
                f"got {self.validation} and {self.test}"
            )
        assert self.view

    @property
    def shares(self) -> dict[str, float]:
        """Share of the videos per split."""
        rest = 1 - self.validation - self.test
        return {"train": rest, "validation": self.validation, "test": self.test}

    @property
    def view(self) -> View:
        """Conversion of a file's frames to frames of a clip."""
        return View(
            height=self.height,
            width=self.width,
            channels=self.channels,
            crop=self.crop,
            stride=self.stride,
            aspect=self.aspect,
        )

    def plan(self) -> ClipPlan:
        """Plan of the frames of the files that become clips.

        Raises:
          OSError, ValueError: if there are no videos, or two with the same name.
        """
        masks = local_path(self.masks, "masks") if self.masks else None
        path = local_path(self.path, "path")
        if not path.exists() and not is_array(path):
            raise FileNotFoundError(
                f"no video at {path}: set the option path of own_video, in a config "
                "data.options.path, to a video or a folder of videos"
            )
        videos = find_videos(path, without=masks)
        files = list(dict.fromkeys(split_path(video)[0] for video in videos.values()))
        if masks:
            files += [masks / name for name in videos]
        return ClipPlan(
            source="own_video",
            options=str(self),
            files=files,
            view=self.view,
            frames=self.frames,
            cut=functools.partial(self._cut, videos, masks),
        )

    def _cut(self, paths: dict[str, Path], masks: Path | None) -> dict[str, list[Segment]]:
        """Segments per split; raises ValueError if a video is damaged or lacks a mask."""
        videos = {name: open_file(path) for name, path in paths.items()}
        notes = {}
        for name, video in videos.items():
            try:
                notes[self.view.note(video.height, video.width)] = video.path
            except ValueError as error:
                raise ValueError(f"{video.path}: {error}") from error
            if masks:  # raises unless there is a mask for every frame
                MaskFolder(masks / name, video.num_frames)
        for note, path in notes.items():
            if note:
                _LOG.info("%s: %s", path, note)

        def segment(name: str, start: int, stop: int) -> Segment:
            path, video = paths[name], videos[name]
            shown = printable(f"{Path(name).parent / path.name}")
            own = isinstance(video, ArrayFile) and video.has_masks
            known = path if own else masks / name if masks else None
            return Segment(path, start, stop, known, shown)

        if len(videos) == 1:
            ((name, video),) = videos.items()
            return {split: [segment(name, *part)] for split, part in self._ranges(video).items()}
        return {
            split: [segment(name, 0, videos[name].num_frames) for name in names]
            for split, names in self._split(list(videos)).items()
        }

    def _split(self, names: list[str]) -> dict[str, list[str]]:
        """Videos per split, in the order of their names."""
        order = np.random.default_rng(self.seed).permutation(len(names))
        counts = {
            split: max(1, round(share * len(names)))
            for split, share in self.shares.items()
            if split != "train" and share > 0
        }
        if sum(counts.values()) >= len(names):
            raise ValueError(
                f"{len(names)} videos are too few for a validation and a test split: "
                "give more, or set test to 0"
            )
        chosen, taken = {}, 0
        for split, count in counts.items():
            chosen[split] = sorted(names[i] for i in order[taken : taken + count])
            taken += count
        return {"train": sorted(names[i] for i in order[taken:]), **chosen}

    def _ranges(self, video: VideoFile | ArrayFile) -> dict[str, tuple[int, int]]:
        """Divide the only video by time: range of frames per split."""
        gap, clip = self.frames * self.stride, (self.frames - 1) * self.stride + 1
        shares = [share for share in self.shares.values() if share]
        gaps = gap * (len(shares) - 1)
        if video.num_frames - gaps >= len(shares):
            ranges = split_by_time(video.num_frames, self.shares, gap=gap)
            if min(stop - start for start, stop in ranges.values()) >= clip:
                return ranges
        raise ValueError(
            f"{video.path} has {video.num_frames} frames: one video is split by time, and clips "
            f"of {self.frames} frames at stride {self.stride} need about "
            f"{math.ceil(clip / min(shares)) + gaps}. Make frames or stride smaller, give the "
            "smallest split (validation, test) a larger share or none, or give more videos"
        )


def open_own_video(spec: OwnVideoSpec, split: str, data_dir: str) -> Source:
    """Open a split; the videos are cut into clips on first use."""
    config = VideoClipsConfig(plan=spec.plan())
    return TfdsSource(prepare(VideoClips, config=config, data_dir=data_dir), split)
