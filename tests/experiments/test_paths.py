"""The picture of paths: slots are named as objects, and paths go through their centers."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from experiments.paths import LINE, TRUTH, _paths, draw, named_as, predictions


def moving_squares(frames: int = 8) -> np.ndarray:
    """Two squares of 4×4 on a background: 1 moves right by a pixel a frame, 2 rests."""
    ids = np.zeros((frames, 24, 24), np.int64)
    for t in range(frames):
        ids[t, 2:6, 2 + t : 6 + t] = 1
        ids[t, 15:19, 10:14] = 2
    return ids


def test_slots_are_named_as_the_objects_that_they_show():
    truth = moving_squares()
    slots = np.array([3, 0, 1])[truth]  # slot 2 is empty
    np.testing.assert_array_equal(named_as(truth, slots, 3), truth)


def test_only_observed_frames_count_for_a_name():
    truth = moving_squares()
    slots = truth.copy()
    slots[4:] = np.array([0, 2, 1])[truth[4:]]  # it exchanges two objects when it predicts
    np.testing.assert_array_equal(named_as(truth, slots, 4), slots)


def test_a_slot_without_an_object_gets_a_number_after_them():
    truth = moving_squares()
    slots = truth.copy()
    slots[:, 20:] = 3
    named = named_as(truth, slots, 4)
    assert set(np.unique(named)) == {0, 1, 2, 6}
    np.testing.assert_array_equal(named == 6, slots == 3)


def test_a_path_goes_through_the_centers_and_skips_frames_without_the_object():
    ids = moving_squares(4)
    ids[2][ids[2] == 2] = 0
    paths = dict(_paths(ids))
    np.testing.assert_allclose(paths[1], [[3.5 + t, 3.5] for t in range(4)])
    np.testing.assert_array_equal(np.isnan(paths[2]).all(1), [False, False, True, False])
    ids[0][ids[0] == 2] = 0
    assert list(dict(_paths(ids))) == [1]


def test_predictions_begin_with_what_was_observed(tmp_path):
    truth = moving_squares()
    video = np.repeat(np.array([0, 255, 128], np.uint8)[truth][..., None], 3, axis=-1)
    asked = []

    def predict(frames, *, num_frames):
        asked.append((frames, num_frames))
        ids = np.concatenate([truth[:5], truth[4:5].repeat(num_frames, axis=0)])
        return SimpleNamespace(masks=np.moveaxis(np.eye(4)[ids], -1, 1))

    found = predictions(video, truth, {"rests": SimpleNamespace(predict=predict)}, 5)
    assert list(found) == [TRUTH, "rests", LINE]
    np.testing.assert_array_equal(asked[0][0], video[:5])
    assert asked[0][1] == 3
    np.testing.assert_array_equal(found["rests"][5:], truth[4:5].repeat(3, axis=0))
    np.testing.assert_array_equal(found[LINE], truth)  # the square does move in a line

    draw(tmp_path / "paths.png", [found, found], observed=5)
    first = (tmp_path / "paths.png").read_bytes()
    draw(tmp_path / "paths.png", [found, found], observed=5)
    assert (tmp_path / "paths.png").read_bytes() == first
    with Image.open(tmp_path / "paths.png") as image:
        assert image.width > image.height  # three predictions of two clips
