"""Evenly spaced samples."""

import numpy as np


def spaced(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` items, evenly spaced from the first to the last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
