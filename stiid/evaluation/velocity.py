"""Positions and motion of objects: box centers, and the velocity scores of DDPAE.

Shapes: B clips, T frames, N objects, K slots. Positions are (x, y) in [0, 1] of the frame's width
and height, NaN where an object or a slot has no pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

MATCHINGS = ("hungarian", "nearest")
SHIFT = 2  # frames between the positions of a velocity, as in DDPAE's scores

_APART = 4.0  # squared distance of what is never seen together, larger than any in a frame
_AT_REST = 1e-4  # a velocity below this has no direction


class VelocityScores(NamedTuple):
    """Scores of the predicted frames; None for a frame in which nothing could be scored."""

    cosine: list[float | None]  # cosine similarity of predicted and true velocity
    relative: list[float | None]  # |1 − |v| / |v_true||
    excluded: float  # fraction of clips without a one-to-one matching, which are not scored


def box_centers(ids: np.ndarray, *, count: int) -> np.ndarray:
    """Centers of the bounding boxes of the ids 0 … count − 1.

    Args:
      ids: integers [..., H, W].
      count: N.

    Returns:
      float64 [..., N, 2].
    """
    height, width = ids.shape[-2:]
    areas = ids[..., None, :, :] == np.arange(count).reshape(count, 1, 1)
    x, y = (_middle(areas.any(axis)) / size for axis, size in ((-2, width), (-1, height)))
    return np.stack([x, y], axis=-1)


def _middle(line: np.ndarray) -> np.ndarray:
    """Middle of the first and the last true entry along the last axis, pixel k being [k, k + 1]."""
    first = line.argmax(-1)
    last = line.shape[-1] - line[..., ::-1].argmax(-1)
    return np.where(line.any(-1), (first + last) / 2.0, np.nan)


def velocity_scores(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    num_observed: int,
    matching: str,
) -> VelocityScores:
    """Compare the velocities of slots and objects in the frames after the observed ones.

    A velocity is the change of position over two frames, the last of which is the scored one.
    Objects and slots are matched by their mean squared distance in the observed frames:

    * "hungarian": one to one, with the least total distance. A clip is excluded if an object has
      no slot that is ever seen in the same frame;
    * "nearest", DDPAE's rule: every slot is matched to the nearest object (if there are more slots
      than objects, every object to the nearest slot). A clip is excluded if this is not one to one.

    Entries with a velocity below 1e-4, or without a position, do not count.

    Args:
      predicted: [B, T, K, 2].
      truth: [B, T, N, 2]; an object without a position in all observed frames is left out.
      num_observed: frames that were given, at least two.
      matching: one of ``MATCHINGS``.

    Raises:
      ValueError: if the arguments do not fit.
    """
    if matching not in MATCHINGS:
        raise ValueError(f"matching: expected one of {MATCHINGS}, got {matching!r}")
    if predicted.shape[:2] != truth.shape[:2]:
        raise ValueError(
            f"predicted and truth need the same [B, T], got {predicted.shape} and {truth.shape}"
        )
    if not SHIFT <= num_observed < truth.shape[1]:
        raise ValueError(
            f"need {SHIFT} <= num_observed < T, got num_observed={num_observed}, T={truth.shape[1]}"
        )
    rule = _one_to_one if matching == "hungarian" else _nearest
    cosines, relatives, excluded = [], [], 0
    for ours, theirs in zip(predicted, truth, strict=True):
        theirs = theirs[:, np.isfinite(theirs[:num_observed]).all(-1).any(0)]
        pairs = rule(_distances(theirs[:num_observed], ours[:num_observed]))
        if pairs is None:
            excluded += 1
            continue
        objects, slots = pairs
        cosine, relative = compare_velocities(
            ours[:, slots], theirs[:, objects], num_observed=num_observed
        )
        cosines.append(cosine)
        relatives.append(relative)
    frames = truth.shape[1] - num_observed
    return VelocityScores(
        frame_means(cosines, frames), frame_means(relatives, frames), excluded / len(truth)
    )


def compare_velocities(
    predicted: np.ndarray, truth: np.ndarray, *, num_observed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare the velocities of slots with those of their objects in the predicted frames.

    Args:
      predicted: [T, N, 2].
      truth: [T, N, 2].
      num_observed: frames that were given, at least two.

    Returns:
      Cosine and |1 − |v| / |v_true||, [T − num_observed, N]; NaN if one of both has no position, or
      moves by less than 1e-4.
    """
    v, w = (x[num_observed:] - x[num_observed - SHIFT : -SHIFT] for x in (predicted, truth))
    lengths = np.linalg.norm(v, axis=-1), np.linalg.norm(w, axis=-1)
    moving = (lengths[0] >= _AT_REST) & (lengths[1] >= _AT_REST)  # False where NaN
    v_length, w_length = (np.where(moving, x, 1.0) for x in lengths)
    cosine = np.where(moving, (v * w).sum(-1) / (v_length * w_length), np.nan)
    return cosine, np.where(moving, np.abs(1.0 - v_length / w_length), np.nan)


def _distances(objects: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Mean squared distances [N, K] over the frames in which both have a position."""
    squares = ((objects[:, :, None] - slots[:, None]) ** 2).sum(-1)
    there = np.isfinite(squares)
    total = np.where(there, squares, 0.0).sum(0)
    return np.where(there.any(0), total / np.maximum(there.sum(0), 1), _APART)


def _one_to_one(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    objects, slots = linear_sum_assignment(distances)
    found = len(objects) == len(distances) and (distances[objects, slots] < _APART).all()
    return (objects, slots) if found else None


def _nearest(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    count, slot_count = distances.shape
    if count >= slot_count:
        objects, slots = distances.argmin(0), np.arange(slot_count)
    else:
        objects, slots = np.arange(count), distances.argmin(1)
    unique = len(np.unique(objects)) == len(np.unique(slots)) == len(slots)
    return (objects, slots) if unique and (distances[objects, slots] < _APART).all() else None


def frame_means(values: Sequence[np.ndarray], frames: int) -> list[float | None]:
    """Means over clips and pairs of a list of arrays [frames, pairs], without NaN."""
    merged = np.concatenate([*values, np.empty((frames, 0))], axis=1)
    means = [row[np.isfinite(row)] for row in merged]
    return [float(row.mean()) if len(row) else None for row in means]
