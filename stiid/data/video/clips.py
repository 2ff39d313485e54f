"""Clips of equal length, cut from video files and stored as a tfds data set.

Sources of video files only say which parts of which files belong to which split. Here these parts
are decoded once, in order, and written for random access.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from stiid.data.source import UNKNOWN_OBJECTS
from stiid.data.stored import clip_info, clips_per_shard, tensor
from stiid.data.video.array_file import ArrayFile
from stiid.data.video.clip_plan import ClipPlan, Segment
from stiid.data.video.mask_folder import MaskFolder
from stiid.data.video.opening import open_file
from stiid.data.video.tracklets import Tracklets
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.errors import printable

_Part = tuple[Segment, range]  # first frames of some clips of a segment


@dataclasses.dataclass(eq=False)
class VideoClipsConfig(tfds.core.BuilderConfig):
    """A tfds config that holds a `ClipPlan` and is named after it."""

    name: str = ""
    plan: ClipPlan | None = None

    def __post_init__(self):
        assert self.plan is not None  # tfds wants a default for every field
        self.name = self.plan.name
        self.description = printable(self.plan.options)

    def __str__(self) -> str:
        return self.name


class VideoClips(tfds.core.ShardBasedBuilder):
    """Builder that decodes the files of a `ClipPlan`, shard by shard; needs no TensorFlow.

    An element has the fields of `source.Source`, and

        file: Name of the video file, relative to the folder of the videos.
        first_frame: Number of the clip's first frame in the file.
        tracks: float32 [n, T, 2], only with tracklets: see `tracklets.Tracklets.in_clip`.
    """

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES: Mapping[str, str] = {
        "1.2.0": "Frames that a player shows, mirrored as it does, transparent ones on black.",
        "1.1.0": "Right frames of AVI and MPEG files, turned as they are to be shown.",
        "1.0.0": "First version.",
    }
    url_infos: Mapping[str, Any] = {}  # nothing is downloaded, see `GeneratedBuilder`

    def _info(self) -> tfds.core.DatasetInfo:
        plan: ClipPlan = self.builder_config.plan
        tracks = {"tracks": tensor((None, plan.frames, 2), np.float32)} if plan.tracklets else {}
        return clip_info(
            self,
            "Clips cut from video files.",
            view=plan.view,
            frames=plan.frames,
            file=tfds.features.Text(),
            first_frame=tfds.features.Scalar(np.int32),
            **tracks,
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        del dl_manager
        plan: ClipPlan = self.builder_config.plan
        per_shard = clips_per_shard(plan.view, frames=plan.frames)
        tracklets = Tracklets.load(plan.tracklets) if plan.tracklets else None
        shards = {split: _shards(plan, split, per_shard) for split in plan.segments}
        total = sum(len(starts) for s in shards.values() for parts in s for _, starts in parts)
        progress = tqdm(desc=f"Decoding {plan.name}", total=total, unit="clip")
        return {
            split: [
                functools.partial(_examples, plan, tracklets, split, number, parts, progress)
                for number, parts in enumerate(of_split)
            ]
            for split, of_split in shards.items()
        }


def _shards(plan: ClipPlan, split: str, size: int) -> list[list[_Part]]:
    """Divide the clips of a split, in order, into shards of at most `size` clips."""
    shards: list[list[_Part]] = [[]]
    room = size
    for segment in plan.segments[split]:
        starts = segment.clips(frames=plan.frames, stride=plan.view.stride)
        while starts:
            if not room:
                shards.append([])
                room = size
            shards[-1].append((segment, starts[:room]))
            taken = min(room, len(starts))
            starts, room = starts[taken:], room - taken
    return shards


def _examples(
    plan: ClipPlan,
    tracklets: Tracklets | None,
    split: str,
    shard: int,
    parts: list[_Part],
    progress: tqdm,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The clips of one shard; each part is read in one pass over a file."""
    clips = (clip for part in parts for clip in _clips(plan, tracklets, split, *part))
    for place, clip in enumerate(clips):
        yield (shard << 32) + place, clip
        progress.update()
    if progress.n == progress.total:
        progress.close()


def _clips(
    plan: ClipPlan, tracklets: Tracklets | None, split: str, segment: Segment, starts: range
) -> Iterator[dict[str, Any]]:
    video, view = open_file(segment.video), plan.view
    wanted = (starts[0], starts[-1] + (plan.frames - 1) * view.stride + 1, view.stride)
    images = map(view.frame, video.frames(*wanted))
    masks = None
    if segment.masks:
        ids_of = (
            video.masks(*wanted)
            if isinstance(video, ArrayFile) and segment.masks == segment.video
            else MaskFolder(segment.masks, video.num_frames).frames(*wanted)
        )
        masks = map(functools.partial(_ids, view, video, segment.masks), ids_of)
    name = segment.name or printable(segment.video.name)
    for start in starts:
        frames = np.stack([next(images) for _ in range(plan.frames)])
        ids, count = np.zeros(frames.shape[:3], np.uint8), UNKNOWN_OBJECTS
        if masks:
            ids, count = consecutive_ids(np.stack([next(masks) for _ in range(plan.frames)]))
        clip = {
            "video": frames,
            "masks": ids,
            "id": f"{split}/{name}/{start:06d}",
            "n_objects": count,
            "file": name,
            "first_frame": start,
        }
        if tracklets:
            size = (video.height, video.width)
            clip["tracks"] = tracklets.in_clip(start, plan.frames, view=view, size=size)
        yield clip


def _ids(view: View, video: VideoFile | ArrayFile, folder: Path, ids: np.ndarray) -> np.ndarray:
    if ids.shape != (video.height, video.width):
        raise ValueError(
            f"{folder}: masks have {ids.shape[1]}x{ids.shape[0]} pixels, the video "
            f"{video.width}x{video.height}: make them the same size"
        )
    return view.ids(ids)


def consecutive_ids(ids: np.ndarray) -> tuple[np.ndarray, int]:
    """Rename ids other than 0 to 1, 2, ... in their order; return them and their number."""
    present = np.unique(ids)
    present = present[present != 0]
    if len(present) > 255:
        raise ValueError(f"a clip has {len(present)} different ids: at most 255 are possible")
    return np.where(ids == 0, 0, np.searchsorted(present, ids) + 1).astype(np.uint8), len(present)
