"""Own videos: a folder of video files, or one file, with or without true masks."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from stiid.data.options import check_types
from stiid.data.source import Source
from stiid.data.stored import TfdsSource, prepare
from stiid.data.video.clip_plan import ClipPlan, Segment, split_by_time
from stiid.data.video.clips import VideoClips, VideoClipsConfig
from stiid.data.video.image import pictures
from stiid.data.video.mask_folder import MaskFolder
from stiid.data.video.video_file import VIDEO_SUFFIXES, VideoFile, video_name
from stiid.data.view import View
from stiid.paths import local_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnVideoSpec:
    """Where the videos are and how clips are cut from them.

    Attributes:
        path: A video (mp4, avi, gif, ...), a folder of pictures (one video), or a folder of videos
            and of folders of pictures (pictures beside videos are no frames).
        masks: A folder with a folder of PNG masks for every video, of the video's name (of a file
            without its suffix), see `mask_folder.MaskFolder`; or "".
        crop: (left, top, width, height) of a window in pixels of the files; () is all of it.
        height, width: Of the result.
        channels: 3 (RGB) or 1 (gray).
        stride: Frames of the file per frame of a clip.
        frames: Clip length T; clips are cut back to back.
        validation, test: Shares of the files, at least one file each unless the share is 0. A
            single video is split by time instead, with a clip's length left out in between.
        seed: Of the choice of files.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a value is out of range.
    """

    path: str = "videos"
    masks: str = ""
    crop: tuple[int, ...] = ()
    height: int = 64
    width: int = 64
    channels: int = 3
    stride: int = 1
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
                "validation and test are shares that leave something to train on, "
                f"got {self.validation} and {self.test}"
            )
        assert self.view

    @property
    def shares(self) -> dict[str, float]:
        """Share of the files per split."""
        rest = 1 - self.validation - self.test
        return {"train": rest, "validation": self.validation, "test": self.test}

    @property
    def view(self) -> View:
        """How a frame of a file becomes a frame of a clip."""
        return View(
            height=self.height,
            width=self.width,
            channels=self.channels,
            crop=self.crop,
            stride=self.stride,
        )

    def plan(self) -> ClipPlan:
        """Which frames of which files become clips.

        Raises:
            OSError, ValueError: If a video is missing, damaged or too short, or a mask is missing.
        """
        paths = find_videos(local_path(self.path, "path"))
        videos = {path: VideoFile(path) for path in paths}
        for path, video in videos.items():
            try:
                self.view.window(video.height, video.width)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
        if len(videos) == 1:
            ranges = self._ranges(videos[paths[0]])
            segments = {split: [self._segment(videos[paths[0]], *r)] for split, r in ranges.items()}
        else:
            segments = {
                split: [self._segment(videos[path], 0, videos[path].num_frames) for path in chosen]
                for split, chosen in self._split(paths).items()
            }
        return ClipPlan(source="own_video", segments=segments, view=self.view, frames=self.frames)

    def _split(self, paths: list[Path]) -> dict[str, list[Path]]:
        """Files per split, in the order of their names."""
        order = np.random.default_rng(self.seed).permutation(len(paths))
        counts = {
            split: max(1, round(share * len(paths)))
            for split, share in self.shares.items()
            if split != "train" and share > 0
        }
        if sum(counts.values()) >= len(paths):
            raise ValueError(
                f"{len(paths)} videos do not suffice for a validation and a test split: "
                "give more, or set test to 0"
            )
        chosen, taken = {}, 0
        for split, count in counts.items():
            chosen[split] = sorted(paths[i] for i in order[taken : taken + count])
            taken += count
        return {"train": sorted(paths[i] for i in order[taken:]), **chosen}

    def _ranges(self, video: VideoFile) -> dict[str, tuple[int, int]]:
        """Frames of the only video per split."""
        gap, clip = self.frames * self.stride, (self.frames - 1) * self.stride + 1
        shares = [share for share in self.shares.values() if share]
        gaps = gap * (len(shares) - 1)
        if video.num_frames - gaps >= len(shares):
            ranges = split_by_time(video.num_frames, self.shares, gap=gap)
            if min(stop - start for start, stop in ranges.values()) >= clip:
                return ranges
        raise ValueError(
            f"{video.path} has {video.num_frames} frames: alone it is split by time, and clips of "
            f"{self.frames} frames at stride {self.stride} need some "
            f"{math.ceil(clip / min(shares)) + gaps}. Make frames or stride smaller, give the "
            "smallest split (validation, test) a larger share or none, or give more videos"
        )

    def _segment(self, video: VideoFile, start: int, stop: int) -> Segment:
        if not self.masks:
            return Segment(video.path, start, stop, None)
        masks = local_path(self.masks, "masks") / video_name(video.path)
        MaskFolder(masks, video.num_frames)  # refuses what has not a mask for every frame
        return Segment(video.path, start, stop, masks)


def find_videos(path: Path) -> list[Path]:
    """The videos that a path means, in the order of their names.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it is a folder without videos, or two videos have one name.
    """
    inside = [] if not path.is_dir() else [f for f in path.iterdir() if f.name[0] != "."]
    found = sorted(
        entry
        for entry in inside
        if (entry.is_dir() and pictures(entry))
        or (entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES)
    )
    if not path.is_dir() or (pictures(path) and not found):
        VideoFile(path)
        return [path]
    if not found:
        raise ValueError(
            f"{path} holds no videos: expected files {VIDEO_SUFFIXES} or folders of pictures"
        )
    names = [video_name(video) for video in found]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(f"{path} holds several videos of the name {double[0]!r}: rename one")
    return found


def open_own_video(spec: OwnVideoSpec, split: str, data_dir: str) -> Source:
    """Opens a split, after cutting the videos on first use."""
    config = VideoClipsConfig(plan=spec.plan())
    return TfdsSource(prepare(VideoClips, config=config, data_dir=data_dir), split)
