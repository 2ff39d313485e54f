"""Predictions without a model of the dynamics: the last frame, and slots that keep moving.

Shapes: S observed frames, n predicted ones, K slots, H×W pixels, C channels.
"""

from typing import NamedTuple

import numpy as np

from stiid.evaluation.velocity import SHIFT, box_centers


class Predicted(NamedTuple):
    """A prediction of one clip."""

    slots: np.ndarray  # integers [n, H, W]
    frames: np.ndarray  # [n, H, W, C]


def repeat_last(slots: np.ndarray, frames: np.ndarray, *, count: int) -> Predicted:
    """Repeat the last observed frame and its masks.

    Args:
      slots: integers [S, H, W], the most probable slot of each pixel.
      frames: [S, H, W, C].
      count: n.
    """
    return Predicted(slots[-1:].repeat(count, axis=0), frames[-1:].repeat(count, axis=0))


def move_on(slots: np.ndarray, frames: np.ndarray, *, num_slots: int, count: int) -> Predicted:
    """Move each slot's part of the last frame on with its last velocity.

    A velocity is that of the center of the slot's bounding box over the last two frames, and shifts
    are whole pixels. The largest slot is the background: it stays, and is filled with its mean
    color where an object has left. Where two slots overlap, the smaller one is in front.

    Args:
      slots: integers [S, H, W], S > 2.
      frames: [S, H, W, C].
      num_slots: K.
      count: n.
    """
    height, width = slots.shape[1:]
    last, image = slots[-1], frames[-1].astype(np.float64)
    centers = box_centers(slots[[-1 - SHIFT, -1]], count=num_slots)
    velocities = (centers[1] - centers[0]) * (width, height) / SHIFT
    areas = np.bincount(last.ravel(), minlength=num_slots)
    order = np.argsort(-areas, kind="stable")
    background, *moving = order[areas[order] > 0].tolist()
    out_slots = np.full((count, height, width), background, slots.dtype)
    out_frames = np.broadcast_to(image[last == background].mean(0), (count, *image.shape)).copy()
    out_frames[:, last == background] = image[last == background]
    for k in moving:
        rows, columns = np.nonzero(last == k)
        velocity = np.nan_to_num(velocities[k])  # not visible two frames ago: it stays
        for step in range(count):
            dx, dy = np.rint(velocity * (step + 1)).astype(int)
            y, x = rows + dy, columns + dx
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            out_slots[step, y[inside], x[inside]] = k
            out_frames[step, y[inside], x[inside]] = image[rows[inside], columns[inside]]
    return Predicted(out_slots, out_frames)
