"""A result by hand: what is in its slots, its figure, and what it explains."""

import dataclasses
import json

import numpy as np

from stiid.data.video.frames import VideoInfo
from stiid.data.view import View
from stiid.models.base import Decomposition
from stiid.outputs.result import Result


def result(video=None):
    """Two frames of 6×6 pixels, three slots: a square that is gone in the second frame.

    The video is black unless one is given, of which the second frame may be missing: simulated.
    """
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
    video = np.zeros((2, 6, 6, 3), np.uint8) if video is None else video
    return Result.of(video, found, info, {})


def test_slots_that_show_an_object_are_counted():
    np.testing.assert_array_equal(result().object_counts, [1, 0])


def test_one_slot_is_the_background_of_a_whole_clip():
    """Another one that fills a later frame is an object; of a batch, each clip has its own."""
    masks = np.zeros((2, 3, 6, 6), np.float32)
    masks[0, 0] = masks[1, 1] = 1
    one = dataclasses.replace(result(), masks=masks)
    np.testing.assert_array_equal(one.object_counts, [0, 1])
    names = ("video", "reconstruction", "means", "kl")
    batch = {name: np.stack([getattr(one, name)] * 2) for name in names}
    masks = np.stack([masks, np.stack([masks[1]] * 2)])
    np.testing.assert_array_equal(
        dataclasses.replace(one, masks=masks, **batch).object_counts, [[0, 1], [0, 0]]
    )


def test_a_figure_of_a_result(tmp_path):
    path = result().figure(tmp_path / "f.svg", frames=(1,), rows=("masks",))
    assert path == tmp_path / "f.svg"
    assert path.read_text().count("<image") == 1


def test_only_observed_frames_are_explained(tmp_path):
    """A frame of black and white: black explains it worse than its mean does, twice as badly."""
    video = np.zeros((1, 6, 6, 3), np.uint8)
    video[:, 3:] = 255
    predicted = result(video)
    for part, expected in (("observed", -1.0), (None, -1.0), ("simulated", None)):
        chosen = predicted if part is None else getattr(predicted, part)
        folder = chosen.save(tmp_path / str(part))
        assert json.loads((folder / "info.json").read_text())["explained"] == expected
