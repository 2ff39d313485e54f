"""A result by hand: what is in its slots, and its figure."""

import numpy as np

from stiid.data.video.frames import VideoInfo
from stiid.data.view import View
from stiid.models.base import Decomposition
from stiid.outputs.result import Result


def result():
    """Two frames of 6×6 pixels, three slots: a square that is gone in the second frame."""
    slots = np.zeros((1, 2, 6, 6), int)
    slots[0, 0, 2:4, 2:4] = 1
    masks = np.eye(3, dtype=np.float32)[slots].transpose(0, 1, 4, 2, 3)
    found = Decomposition(
        reconstruction=np.zeros((1, 2, 6, 6, 3), np.float32),
        masks=masks,
        means=np.zeros((1, 2, 3, 6, 6, 3), np.float32),
        kl=np.zeros((1, 2, 3), np.float32),
    )
    info = VideoInfo(View(height=6, width=6, channels=3))
    return Result.of(np.zeros((2, 6, 6, 3), np.uint8), found, info, {})


def test_slots_that_show_an_object_are_counted():
    np.testing.assert_array_equal(result().object_counts, [1, 0])


def test_a_figure_of_a_result(tmp_path):
    path = result().figure(tmp_path / "f.svg", frames=(1,), rows=("masks",))
    assert path == tmp_path / "f.svg"
    assert path.read_text().count("<image") == 1
