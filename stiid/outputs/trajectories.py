"""Place and kind of each slot in a frame: areas, centroids and boxes of its pixels."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class SlotPlace(NamedTuple):
    """One slot in one frame, in pixels of the input; pixel k spans [k, k + 1].

    Area and centroid are those of all pixels of the slot. The box is that of its largest connected
    region, so that a stray pixel does not enlarge it. If the slot has no pixel, the area is 0 and
    all else is NaN.
    """

    area: float
    x: float  # centroid
    y: float
    left: float  # box
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
      origin: (x, y) of the image's corner in the input.
      scale: (x, y) pixels of the input per pixel of the image.

    Returns:
      K places.
    """
    places = []
    for slot in range(num_slots):
        own = slots == slot
        rows, columns = np.nonzero(own)
        if not len(rows):
            places.append(SlotPlace(0.0, *[float("nan")] * 6))
            continue
        regions, count = ndimage.label(own, structure=np.ones((3, 3)))
        largest = 1 + int(np.bincount(regions.ravel(), minlength=count + 1)[1:].argmax())
        box = ndimage.find_objects(regions)[largest - 1]
        corners = np.array(
            [
                [columns.mean() + 0.5, rows.mean() + 0.5],
                [box[1].start, box[0].start],
                [box[1].stop, box[0].stop],
            ]
        )
        area = len(rows) * float(scale.prod())
        places.append(SlotPlace(area, *(origin + scale * corners).ravel().tolist()))
    return places


def background_slot(slots: np.ndarray) -> int:
    """Find the slot of a clip's background: the one with most pixels on the images' borders.

    It is chosen once per clip: chosen anew in every frame, it would jump where two slots share the
    background.

    Args:
      slots: integers [T, H, W], the slot of each pixel.
    """
    borders = slots[:, 0], slots[:, -1], slots[:, 1:-1, 0], slots[:, 1:-1, -1]
    return int(np.bincount(np.concatenate([part.ravel() for part in borders])).argmax())


def slot_kinds(slots: np.ndarray, *, num_slots: int, background: int) -> list[str]:
    """Classify what each slot shows in a frame: "object", "background" or "empty".

    Args:
      slots: integers [H, W], the slot of each pixel.
      num_slots: K.
      background: see ``background_slot``; a slot without pixels is empty, whichever it is.
    """
    areas = np.bincount(slots.ravel(), minlength=num_slots)
    kinds = ["object" if area else "empty" for area in areas]
    if areas[background]:
        kinds[background] = "background"
    return kinds
