"""Clips of CLEVRER's videos: the choice of frames, and their true masks."""

import dataclasses
from typing import Any

import numpy as np

from stiid.data.clevrer.annotations import FRAMES, Annotation, Name, parse_annotation
from stiid.data.clevrer.camera import HEIGHT, WIDTH
from stiid.data.clevrer.files import ClevrerFiles
from stiid.data.clevrer.masks import ray_cast
from stiid.data.clevrer.proposals import parse_proposals
from stiid.data.source import UNKNOWN_OBJECTS
from stiid.data.video.clip_plan import Segment
from stiid.data.video.clips import consecutive_ids
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View

# Videos that others found to be broken (github.com/pairlab/SlotFormer, issue 10).
KNOWN_BROKEN = {
    7648: "104 frames",
    8182: "8 objects in a frame of the proposals",
    9777: "104 frames",
    10800: "broken annotation",
    18700: "8 objects in a frame of the proposals",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut:
    """Options for cutting clips from a video of 128 frames.

    Attributes:
      view: how a frame of a file is converted to a frame of a clip.
      frames: clip length T.
      masks: "annotations", "proposals" or "none".
      objects: allowed numbers of different objects in the only clip of a video; (): clips are cut
        back to back, whatever they show.
      min_objects: minimum number of objects that are visible in each frame, if `objects` is not
        empty; at least one of them moves.
      min_speed: speed over the floor above which an object moves.
      all_in_view: if not 0, it replaces the last two: the clip begins with the first frame in
        which all objects of the video are inside the camera's view, if they stay there for
        this many frames (the authors' code).
    """

    view: View
    frames: int
    masks: str
    objects: tuple[int, ...] = ()
    min_objects: int = 0
    min_speed: float = 0.0
    all_in_view: int = 0

    @property
    def span(self) -> int:
        """Frames of a video from the first to the last frame of a clip."""
        return (self.frames - 1) * self.view.stride + 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of files that are needed of a video, see `files.KINDS`."""
        kinds = ["video"]
        if self.objects or self.masks != "none":
            kinds.append("annotation")
        if self.masks == "proposals":
            kinds.append("proposal")
        return tuple(kinds)


def cut_clips(files: ClevrerFiles, number: int, cut: Cut) -> list[dict[str, Any]]:
    """Cut all clips of a video; see `builder.Clevrer` for the fields of an element.

    Raises:
      ValueError: if a file of the video is missing or broken.
    """
    annotation, seen, proposals = None, np.zeros(0, np.uint8), None
    if "annotation" in cut.kinds:
        name = files.name("annotation", number)
        text, with_view = files.read("annotation", number), bool(cut.all_in_view)
        annotation = parse_annotation(text, name, with_view=with_view)
        seen = annotated_masks(annotation, cut.view)
    starts = range(0)
    if not cut.objects:
        starts = Segment(files.folder, 0, FRAMES).clips(frames=cut.frames, stride=cut.view.stride)
    elif annotation and (start := find_start(annotation, seen, cut)) is not None:
        starts = range(start, start + 1)
    if not starts:
        return []
    if cut.masks == "proposals":
        name = files.name("proposal", number)
        proposals = parse_proposals(files.read("proposal", number), name)
    images = _decode(files, number, cut, range(starts[0], starts[-1] + cut.span))
    clips: list[dict[str, Any]] = []
    for start in starts:
        wanted = range(start, start + cut.span, cut.view.stride)
        first = (start - starts[0]) // cut.view.stride
        ids = np.zeros((cut.frames, cut.view.height, cut.view.width), np.uint8)
        shown: list[Name] = []
        if annotation:
            if proposals:
                found = (proposals.ids(frame, annotation.names) for frame in wanted)
                ids = np.stack([cut.view.ids(frame) for frame in found])
            elif cut.masks == "annotations":
                ids = seen[wanted]
            present = np.bincount(ids.ravel(), minlength=len(annotation.names) + 1)[1:]
            shown = [name for name, pixels in zip(annotation.names, present, strict=True) if pixels]
        count = UNKNOWN_OBJECTS
        if cut.masks != "none":
            ids, count = consecutive_ids(ids)
        clips.append(
            {
                "video": images[first : first + cut.frames],
                "masks": ids,
                "id": f"{number:05d}/{start:03d}",
                "n_objects": count,
                "file": files.name("video", number),
                "first_frame": start,
                "objects": ", ".join(map(" ".join, shown)),
            }
        )
    return clips


def annotated_masks(annotation: Annotation, view: View) -> np.ndarray:
    """Cast masks uint8 [128, height, width] of ids: 0 is background, n + 1 object n.

    For each pixel of the result, the ray goes through the center of the nearest pixel of the file,
    which is the same as resizing masks of the size of the file.
    """
    rows, columns = view.places(HEIGHT, WIDTH)
    shapes = [shape for _, _, shape in annotation.names]
    return ray_cast(
        shapes,
        annotation.locations,
        annotation.orientations,
        rows=rows + 0.5,
        columns=columns + 0.5,
    )


def find_start(annotation: Annotation, seen: np.ndarray, cut: Cut) -> int | None:
    """Find the earliest possible first frame of the clip of a video; None if there is no clip.

    In all frames from the first to the last of the clip, at least `min_objects` are visible, that
    is, have a pixel in the masks, and one of them moves. The first such clip is taken if its number
    of objects is one of `objects`.

    Args:
      annotation: of the video.
      seen: ids [128, height, width], see `annotated_masks`.
      cut: with `objects`.
    """
    count = len(annotation.names)
    if annotation.in_view is not None and cut.all_in_view:
        return _first_run(np.all(annotation.in_view, axis=1), cut) if count in cut.objects else None
    visible = np.stack([(seen == i + 1).any((1, 2)) for i in range(count)], axis=1)
    moving = np.linalg.norm(annotation.velocities[..., :2], axis=-1) > cut.min_speed
    good = (visible.sum(1) >= cut.min_objects) & (visible & moving).any(1)
    for start in range(FRAMES - cut.span + 1):
        if good[start : start + cut.span].all():
            shown = visible[start : start + cut.span : cut.view.stride].any(0).sum()
            return start if shown in cut.objects else None
    return None


def _first_run(good: np.ndarray, cut: Cut) -> int | None:
    """Start of the first run of good frames if it is long enough; later runs are ignored."""
    if not good.any():
        return None
    start = int(good.argmax())
    end = start + int((~good[start:]).argmax()) if not good[start:].all() else FRAMES - 1
    return start if end - start >= max(cut.all_in_view, cut.span) else None


def _decode(files: ClevrerFiles, number: int, cut: Cut, wanted: range) -> np.ndarray:
    """Decode every stride-th of the wanted frames: uint8 [T', height, width, 3]."""
    name = files.name("video", number)
    with files.local("video", number) as path:
        try:
            video = VideoFile(path)
            if (video.width, video.height) != (WIDTH, HEIGHT):
                raise ValueError(
                    f"it has {video.width}x{video.height} pixels, expected {WIDTH}x{HEIGHT}"
                )
            if video.packets != FRAMES:
                raise ValueError(f"it has {video.packets} frames, expected {FRAMES}")
            frames = video.frames(wanted.start, wanted.stop, cut.view.stride)
            return np.stack([cut.view.frame(frame) for frame in frames])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
