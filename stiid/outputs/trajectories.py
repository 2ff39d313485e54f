"""Where each slot is, and what it shows: areas, centroids and boxes of its pixels."""

from typing import NamedTuple

import numpy as np


class SlotPlace(NamedTuple):
    """One slot in one frame, in pixels of the input; pixel k spans [k, k + 1].

    All but the area are NaN if no pixel belongs to the slot.
    """

    area: float
    x: float  # centroid
    y: float
    left: float
    top: float
    right: float
    bottom: float


def slot_places(
    slots: np.ndarray, *, num_slots: int, origin: np.ndarray, scale: np.ndarray
) -> list[SlotPlace]:
    """Places of all slots in a frame.

    Args:
        slots: integers [H, W], the slot of each pixel.
        num_slots: K.
        origin: (x, y) of the pictures' corner in the input.
        scale: (x, y) pixels of the input per pixel of the picture.

    Returns:
        K places.
    """
    places = []
    for slot in range(num_slots):
        rows, columns = np.nonzero(slots == slot)
        if not len(rows):
            places.append(SlotPlace(0.0, *[float("nan")] * 6))
            continue
        corners = np.array(
            [
                [columns.mean() + 0.5, rows.mean() + 0.5],
                [columns.min(), rows.min()],
                [columns.max() + 1, rows.max() + 1],
            ]
        )
        area = len(rows) * float(scale.prod())
        places.append(SlotPlace(area, *(origin + scale * corners).ravel().tolist()))
    return places


def slot_kinds(slots: np.ndarray, *, num_slots: int) -> list[str]:
    """What each slot shows in a frame: "object", "background" or "empty".

    The background is the slot with most pixels on the image's border; a slot without pixels is
    empty.

    Args:
        slots: integers [H, W], the slot of each pixel.
        num_slots: K.
    """
    border = np.concatenate([slots[0], slots[-1], slots[1:-1, 0], slots[1:-1, -1]])
    background = np.bincount(border, minlength=num_slots).argmax()
    areas = np.bincount(slots.ravel(), minlength=num_slots)
    kinds = np.where(areas > 0, "object", "empty").astype(object)
    kinds[background] = "background"
    return [str(kind) for kind in kinds]
