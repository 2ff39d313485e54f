"""Grand Central Station: one long surveillance video of a crowd, without true masks.

The paper cuts "a portion of the feed of resolution 128x128" into sequences of 20 frames (section
4.1) and states neither the window nor the stride nor the split. The video `grandcentral.avi` (Zhou,
Wang, Tang, CVPR 2012) has 50,010 frames of 720x480 at 25 per second. The video of the same place
that was annotated in 2015 (1920x1080) is a different one.
"""

import dataclasses
import functools
from pathlib import Path

from stiid.data.options import check_types
from stiid.data.source import Source
from stiid.data.stored import TfdsSource, prepare
from stiid.data.video.clip_plan import ClipPlan, Segment, split_by_time
from stiid.data.video.clips import VideoClips, VideoClipsConfig
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.paths import local_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrandCentralSpec:
    """Options: which part of the video is used, and how.

    Attributes:
      path: the video, of any format that FFmpeg reads.
      tracklets: `trajectoriesNew.mat`, which the motion check of the evaluation needs, or "".
      crop: (left, top, width, height) of the window in pixels of the file; () is the whole
        image. The default is a square on the open floor.
      resolution: height and width of the result.
      stride: frames of the file per frame of a clip. People move 1 to 3 pixels per frame of the
        file.
      frames: clip length T.
      train, validation, test: shares of the video, consecutive in time.
      gap: frames of the file that are left out between two splits; 250 are ten seconds.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = "grandcentral.avi"
    tracklets: str = ""
    crop: tuple[int, ...] = (232, 200, 256, 256)
    resolution: int = 128
    stride: int = 4
    frames: int = 20
    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    gap: int = 250

    def __post_init__(self):
        check_types(self)
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, got {self.frames}")
        split_by_time(10**9, self.shares, gap=self.gap)
        assert self.view

    @property
    def shares(self) -> dict[str, float]:
        """Share of the video per split, in the order of time."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def view(self) -> View:
        """Conversion of the file's frames to frames of a clip."""
        return View(
            height=self.resolution,
            width=self.resolution,
            channels=3,
            crop=self.crop,
            stride=self.stride,
        )

    def plan(self) -> ClipPlan:
        """Plan of the frames that become clips.

        Raises:
          FileNotFoundError: if the video or the tracklets are missing.
        """
        path = local_path(self.path, "path")
        tracklets = local_path(self.tracklets, "tracklets") if self.tracklets else None
        if not path.exists():
            raise FileNotFoundError(f"no video at {path}: check the path")
        if tracklets and not tracklets.is_file():
            raise FileNotFoundError(
                f"no tracklets at {tracklets}: check the path, or leave it empty"
            )
        return ClipPlan(
            source="grand_central",
            options=str(self),
            files=[path, tracklets] if tracklets else [path],
            view=self.view,
            frames=self.frames,
            cut=functools.partial(self._cut, path),
            tracklets=tracklets,
        )

    def _cut(self, path: Path) -> dict[str, list[Segment]]:
        """Segments per split; raises ValueError if the video is damaged or too short."""
        video = VideoFile(path)
        self.view.window(video.height, video.width)
        ranges = split_by_time(video.num_frames, self.shares, gap=self.gap)
        return {split: [Segment(path, *part)] for split, part in ranges.items()}


def open_grand_central(spec: GrandCentralSpec, split: str, data_dir: str) -> Source:
    """Open a split; the video is cut into clips on first use."""
    config = VideoClipsConfig(plan=spec.plan())
    return TfdsSource(prepare(VideoClips, config=config, data_dir=data_dir), split)
