"""A decomposition for tests of figures and sheets."""

import numpy as np


def decomposition(length=2, slots=3, height=24, width=24, channels=3):
    """Slot k owns a band of rows and paints it with its own constant color; truth = slot + 1."""
    slot = np.broadcast_to(
        (np.arange(height) * slots // height)[None, :, None], (length, height, width)
    )
    masks = (slot[:, None] == np.arange(slots)[None, :, None, None]).astype(np.float32)
    paint = np.random.default_rng(0).random((slots, channels)).astype(np.float32)
    paint[0] = 0  # a black slot
    means = np.broadcast_to(
        paint[None, :, None, None], (length, slots, height, width, channels)
    ).copy()
    reconstruction = (masks[..., None] * means).sum(1)
    return 1 - reconstruction, reconstruction, masks, means, slot + 1
