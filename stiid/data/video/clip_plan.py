"""Plan of the clips of a source: which parts of which video files belong to which split."""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from stiid.data.view import View

_LOG = logging.getLogger("stiid")
_NAMED = 3  # parts of videos in a message


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive frames of a file: start <= frame < stop."""

    video: Path
    start: int
    stop: int
    masks: Path | None = None  # folder of PNG id masks of the whole file, or the file that has both
    name: str = ""  # of the video in ids of clips; the file's name if it is empty

    def clips(self, *, frames: int, stride: int) -> range:
        """First frames of consecutive clips; frames at the end that fill no clip are left out."""
        span = (frames - 1) * stride + 1
        return range(self.start, self.stop - span + 1, frames * stride)


_Segments = Mapping[str, Sequence[Segment]]


@dataclasses.dataclass(frozen=True)
class ClipPlan:
    """All that decides the content of a set of clips.

    Attributes:
      source: name of the data source.
      options: all options of the source, as text.
      files: all files that are read: videos, folders of images and masks, tracklets.
      view: how a frame of a file becomes a frame of a clip.
      frames: clip length T.
      cut: function that finds the segments per split. It may decode all videos to count their
        frames, and is called only for clips that are not on disk yet.
      tracklets: a MATLAB file of point tracks in the only video of the plan, or None.
    """

    source: str
    options: str
    files: Sequence[Path]
    view: View
    frames: int
    cut: Callable[[], _Segments]
    tracklets: Path | None = None

    @functools.cached_property
    def segments(self) -> _Segments:
        """Segments per split.

        Raises:
          OSError, ValueError: if a file is missing, damaged or too short, a split has no clip, or
            only some segments have masks.
        """
        segments = self.cut()
        cut = {"frames": self.frames, "stride": self.view.stride}
        for split, of_split in segments.items():
            fitting = [segment for segment in of_split if segment.clips(**cut)]
            if not fitting:
                longest = max((segment.stop - segment.start for segment in of_split), default=0)
                raise ValueError(
                    f"no clip of {self.frames} frames at stride {self.view.stride} fits the "
                    f"{split} split, whose longest part of a video has {longest}: make frames or "
                    "stride smaller, give longer videos, or give that split more of them"
                )
            _tell_left_out(split, [s for s in of_split if s not in fitting], **cut)
        if len({segment.masks is None for s in segments.values() for segment in s}) > 1:
            raise ValueError("only some videos have masks: give masks to all of them or to none")
        return segments

    @property
    def name(self) -> str:
        """A readable prefix and a hash of the options and of the state of the files."""
        content = [self.options, sorted((str(path), *_signature(path)) for path in self.files)]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
        return f"{self.source}_{self.view.width}x{self.view.height}_{self.frames}f_{digest}"


def _tell_left_out(split: str, segments: Sequence[Segment], *, frames: int, stride: int) -> None:
    """Name in the log what is too short for a clip; of many only the first."""
    if not segments:
        return
    named = [f"frames {s.start} to {s.stop} of {s.video}" for s in segments[:_NAMED]]
    if len(segments) > _NAMED:
        named.append(f"and {len(segments) - _NAMED} more")
    _LOG.warning(
        "%s: left out, too short for %d frames at stride %d: %s",
        *(split, frames, stride, ", ".join(named)),
    )


def _signature(path: Path) -> tuple[int, int]:
    """Size and time of the last change; for a folder, the sum and the latest of its files."""
    if not path.exists():
        return (0, 0)
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    states = [file.stat() for file in files]
    return sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)


def split_by_time(
    num_frames: int, shares: Mapping[str, float], *, gap: int
) -> dict[str, tuple[int, int]]:
    """Frame ranges of consecutive splits with `gap` unused frames between them.

    Args:
      num_frames: number of frames to divide.
      shares: split → share of the frames, in the order of time; splits of share 0 are left out.
      gap: frames between two splits, so that they show different moments.

    Returns:
      Split → (start, stop).

    Raises:
      ValueError: if the shares do not sum to 1 or the gaps leave nothing.
    """
    used = {split: share for split, share in shares.items() if share}
    if min(shares.values()) < 0 or abs(sum(used.values()) - 1) > 1e-6:
        raise ValueError(f"the shares of the splits must sum to 1, got {dict(shares)}")
    usable = num_frames - gap * (len(used) - 1)
    if gap < 0 or usable < len(used):
        raise ValueError(f"gap = {gap} leaves nothing of {num_frames} frames: make it smaller")
    edges = np.rint(np.cumsum([0, *used.values()]) * usable).astype(int).tolist()
    return {split: (edges[i] + i * gap, edges[i + 1] + i * gap) for i, split in enumerate(used)}
