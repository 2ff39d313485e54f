"""The README's animation: which tiles it has, and where."""

import numpy as np

from experiments.showcase import animation
from stiid.outputs.palette import PALETTE


def test_tiles_are_input_reconstruction_overlay_and_slots():
    video = np.zeros((2, 56, 56, 3), np.uint8)
    video[1] = 200
    masks = np.zeros((2, 2, 56, 56))
    masks[:, 1, 10:46, 10:46] = 1.0
    masks[:, 0] = 1.0 - masks[:, 1]
    means = np.full((2, 2, 56, 56, 3), 0.25)
    frames = animation(video, np.full(video.shape, 0.5), masks, means)
    assert len(frames) == 2
    assert frames.dtype == np.uint8
    pitch = frames.shape[2] // 5  # two slots
    assert frames.shape[2] == 5 * pitch
    middle = frames[:, -60]
    at = [middle[:, i * pitch + pitch // 2].tolist() for i in range(5)]
    assert at[0] == [[0] * 3, [200] * 3]
    assert at[1] == [[128] * 3] * 2
    assert at[2] == np.rint([0.45 * PALETTE[1], 110 + 0.45 * PALETTE[1]]).tolist()
    background = middle[:, 2 * pitch + pitch // 2 - 50].tolist()
    assert background == [[0] * 3, [200] * 3]
    assert at[4] == [[64] * 3] * 2
    for slot, color in enumerate(PALETTE[:2]):
        left = (3 + slot) * pitch + 4  # behind the gap
        np.testing.assert_array_equal(middle[:, left], [color] * 2)
