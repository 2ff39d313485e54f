"""Paths of objects over an image: centroids of each slot's pixels."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.report.markup import Html, tag
from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition
from stiid.outputs.palette import PALETTE
from stiid.outputs.trajectories import slot_places

Points = Sequence[tuple[float, float]]  # NaN where there is nothing

MOST_FRAMES = 100  # frames of a path; longer paths would be unreadable


def clip_paths(clips: Clips, result: Decomposition, i: int, *, num_observed: int) -> list[Html]:
    """Paths of a clip's slots over the frames that the model saw, in pixels of its frames.

    With true masks, only pixels of objects count, as in F-ARI, since any slot may have the
    background, and paths of true objects are added. Without true masks, all pixels count.
    """
    slots = np.asarray(result.masks[i, :num_observed]).argmax(1)
    count = result.masks.shape[2]
    if clips.masks is None:
        return [slot_path(points, k) for k, points in enumerate(_middles(slots, count))]
    true = clips.masks[i, :num_observed].astype(int)
    objects = _middles(true, int(true.max()) + 1)[1:]
    slots = np.where(true > 0, slots, count)
    return [
        *(_path(points, class_="true") for points in objects),
        *(slot_path(points, k) for k, points in enumerate(_middles(slots, count))),
    ]


def read_paths(table: Path) -> list[Html]:
    """Read paths of slots from a ``trajectories.csv``, in pixels of the video."""
    points: dict[int, list[tuple[float, float]]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = points.setdefault(int(row["slot"]), [])
            if len(path) < MOST_FRAMES:
                path.append((_number(row["x"]), _number(row["y"])))
    if not points:
        raise ValueError(f"{table.name} has no rows")
    return [slot_path(path, slot) for slot, path in sorted(points.items())]


def slot_path(points: Points, slot: int) -> Html:
    """The path of a slot in its color."""
    red, green, blue = PALETTE[slot % len(PALETTE)].tolist()
    return _path(points, stroke=f"#{red:02x}{green:02x}{blue:02x}", class_="slot")


def path_drawing(
    paths: Sequence[Html], *, box: tuple[float, float, float, float], label: str
) -> Html:
    """Draw paths, as a layer over an image.

    Args:
      paths: to draw.
      box: (x, y, width, height) of the shown area, in their coordinates.
      label: text for screen readers.
    """
    view = " ".join(f"{value:g}" for value in box)
    return tag("svg", *paths, viewBox=view, role="img", aria_label=label, class_="paths")


def _path(points: Points, **attributes: str) -> Html:
    path, drawing = [], False
    for x, y in points:
        if drawn := not math.isnan(x):
            # "h0" shows a point without neighbors as a dot.
            path.append(f"L{x:.4g} {y:.4g}" if drawing else f"M{x:.4g} {y:.4g}h0")
        drawing = drawn
    return tag("path", d="".join(path), **attributes)


def _middles(ids: np.ndarray, count: int) -> list[list[tuple[float, float]]]:
    """Centroid of each id's pixels in each frame."""
    origin, scale = np.zeros(2), np.ones(2)
    frames = [slot_places(frame, num_slots=count, origin=origin, scale=scale) for frame in ids]
    return [[(frame[k].x, frame[k].y) for frame in frames] for k in range(count)]


def _number(text: str) -> float:
    return float(text) if text else math.nan
