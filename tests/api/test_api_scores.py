"""Scores of masks by the Python API, by hand."""

import numpy as np
import pytest

import stiid


def test_scores_by_hand():
    """Two frames of two objects: the slots are right in the first, exchanged in the second."""
    true = np.array([[[0, 1], [2, 0]], [[0, 1], [2, 0]]])
    slots = np.array([[[2, 0], [1, 2]], [[2, 1], [0, 2]]])
    assert stiid.score(true, true)["ari"] == 1.0
    found = stiid.score(slots, true)
    assert found["ari_frame"] == found["f_ari_frame"] == 1.0
    assert found["f_ari"] < 0.5
    assert found["slot_switches"] == 2
    one_hot = np.moveaxis(np.eye(3)[slots], -1, 1)
    assert stiid.score(one_hot, true) == found
    assert stiid.score(slots[None], 100 * true[None]) == found


def test_clips_without_objects_do_not_count():
    """Nine of ten clips are empty: they have no scores, and their number is reported."""
    empty, one = np.zeros((9, 2, 4, 4), int), np.zeros((1, 2, 4, 4), int)
    one[..., :2, :2] = 1
    true, slots = np.concatenate([empty, one]), np.concatenate([empty, one // 2])
    found = stiid.score(slots, true)
    assert (found["clips"], found["clips_with_objects"]) == (10, 1)
    for name in ("recall", "mota", "idf1", "j", "f"):
        assert found[name] == 0.0, name  # the object lies in the background's slot
    assert found["mbo"] == found["miou"] == 4 / 16
    nothing = stiid.score(empty, empty)
    assert nothing.pop("clips") == 9
    assert nothing.pop("clips_with_objects") == 0
    assert nothing.pop("ari_authors") == nothing.pop("f_ari_authors") == 1.0  # these count all
    assert np.isnan(list(nothing.values())).all()


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        (
            np.zeros((2, 4, 4)),
            np.zeros((2, 4, 4), int),
            r"floats \[T, K, H, W\] or .*, got float64",
        ),
        (np.zeros((2, 4, 4), int), np.zeros((2, 4, 4)), "true_masks must be integers"),
        (np.zeros((2, 4, 4), int), np.zeros((2, 4, 5), int), "must have the same shape"),
        (np.zeros((2, 4, 4), int), np.full((2, 4, 4), -1), "true_masks must not be negative"),
        (np.zeros((0, 4, 4), int), np.zeros((0, 4, 4), int), "have no pixels"),
    ],
)
def test_masks_that_do_not_fit_are_refused(predicted, true, message):
    with pytest.raises(ValueError, match=message):
        stiid.score(predicted, true)
