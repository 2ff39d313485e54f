"""CLEVRER's annotations: the objects of a video, and the pose of each of them in every frame."""

import dataclasses
from typing import Any

import numpy as np

from stiid.data.clevrer import json_fields

FRAMES = 128  # of every video
COLORS = ("gray", "red", "blue", "green", "brown", "yellow", "cyan", "purple")
MATERIALS = ("metal", "rubber")
SHAPES = ("cube", "sphere", "cylinder")

Name = tuple[str, str, str]  # color, material, shape: no two objects of a video share all three


@dataclasses.dataclass(frozen=True)
class Annotation:
    """The N objects of a video of T = 128 frames, in the order of their `object_id`.

    Objects have entries in all frames, also while they are not visible.

    Attributes:
      names: of the objects.
      locations: float64 [T, N, 3] centers; see `camera` for the axes.
      orientations: float64 [T, N, 3] Euler angles about x, y and z in radians. CLEVRER does not
        document them: `verify` compares the resulting masks with the proposals.
      velocities: float64 [T, N, 3].
      in_view: bool [T, N]: CLEVRER's field `inside_camera_view`. None if it was not requested.
    """

    names: tuple[Name, ...]
    locations: np.ndarray
    orientations: np.ndarray
    velocities: np.ndarray
    in_view: np.ndarray | None = None


def parse_annotation(text: bytes, what: str, *, with_view: bool = False) -> Annotation:
    """Parse an official annotation file.

    Keys that are not needed (collisions, angular velocities, ...) are ignored.

    Args:
      text: content of the file.
      what: its name, for messages.
      with_view: read `inside_camera_view` as well.

    Raises:
      ValueError: if a key is missing, a value has the wrong type or is not finite, frames are not
        numbered 0 to 127 in order, or two objects have the same name.
    """
    content = json_fields.load(text, what)
    objects = json_fields.field(content, "object_property", list, what)
    names = {}
    for place, item in enumerate(objects):
        where = f"{what}, object_property {place}"
        number = json_fields.field(item, "object_id", int, where)
        if number in names:
            raise ValueError(f"{where}: two objects have object_id {number}, expected one")
        names[number] = _name(item, where)
    if not 1 <= len(names) <= 255:
        raise ValueError(f"{what} has {len(names)} objects, expected 1 to 255")
    if len(set(names.values())) < len(names):
        raise ValueError(f"{what}: two objects have the same color, material and shape")
    order = sorted(names)
    motion = np.array(_motion(content, order, what), np.float64)
    in_view = np.array(_in_view(content, order, what)) if with_view else None
    return Annotation(
        names=tuple(names[number] for number in order),
        locations=motion[:, :, 0],
        orientations=motion[:, :, 1],
        velocities=motion[:, :, 2],
        in_view=in_view,
    )


def _name(item: Any, where: str) -> Name:
    values = []
    for key, known in (("color", COLORS), ("material", MATERIALS), ("shape", SHAPES)):
        values.append(json_fields.field(item, key, str, where))
        if values[-1] not in known:
            raise ValueError(f"{where}: {key} is {values[-1]!r}, expected one of {known}")
    return values[0], values[1], values[2]


def _motion(content: dict[str, Any], order: list[int], what: str) -> list[list[list[list[float]]]]:
    """Location, orientation and velocity [T][N][3][3]."""
    trajectory = json_fields.field(content, "motion_trajectory", list, what)
    if len(trajectory) != FRAMES:
        raise ValueError(f"{what} has {len(trajectory)} frames, expected {FRAMES}")
    motion = []
    for frame, item in enumerate(trajectory):
        where = f"{what}, motion_trajectory {frame}"
        number = json_fields.field(item, "frame_id", int, where)
        if number != frame:
            raise ValueError(f"{where}: frame_id is {number}, frames must be numbered in order")
        places = {}
        for entry in json_fields.field(item, "objects", list, where):
            name = json_fields.field(entry, "object_id", int, where)
            inside = f"{where}, object {name}"
            if name in places:
                raise ValueError(f"{inside} occurs twice, expected once")
            places[name] = [
                json_fields.vector(entry, key, inside)
                for key in ("location", "orientation", "velocity")
            ]
        if sorted(places) != order:
            raise ValueError(f"{where} has the objects {sorted(places)}, expected {order}")
        motion.append([places[name] for name in order])
    return motion


def _in_view(content: dict[str, Any], order: list[int], what: str) -> list[list[bool]]:
    """`inside_camera_view` [T][N] of a content that `_motion` has checked."""
    seen = []
    for frame, item in enumerate(content["motion_trajectory"]):
        where = f"{what}, motion_trajectory {frame}"
        inside = {
            entry["object_id"]: json_fields.field(entry, "inside_camera_view", bool, where)
            for entry in item["objects"]
        }
        seen.append([inside[number] for number in order])
    return seen
