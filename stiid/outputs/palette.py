"""Colors of slots: the same slot has the same color in all images, frames and files."""

import numpy as np

# RGB of slot 0, 1, ...; with more slots than colors, colors repeat.
PALETTE = np.array(
    [
        (66, 117, 214),  # blue
        (235, 77, 61),  # red
        (67, 170, 92),  # green
        (250, 196, 48),  # yellow
        (146, 82, 190),  # purple
        (64, 196, 208),  # cyan
        (240, 135, 35),  # orange
        (242, 130, 186),  # pink
        (138, 92, 60),  # brown
        (168, 208, 72),  # lime
        (30, 56, 112),  # navy
        (132, 140, 150),  # gray
        (190, 174, 240),  # lavender
        (128, 22, 66),  # maroon
        (12, 96, 84),  # pine
        (236, 212, 176),  # sand
    ],
    np.uint8,
)


def colorize(slots: np.ndarray) -> np.ndarray:
    """Colors of slot numbers: integers [..., H, W] to uint8 [..., H, W, 3]."""
    slots = np.asarray(slots)
    if not np.issubdtype(slots.dtype, np.integer):
        raise ValueError(f"slots must be integers, got dtype {slots.dtype}")
    if slots.size and slots.min() < 0:
        raise ValueError(f"slots must not be negative, got {slots.min()}")
    return PALETTE[slots % len(PALETTE)]
