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
    ],
)
def test_masks_that_do_not_fit_are_refused(predicted, true, message):
    with pytest.raises(ValueError, match=message):
        stiid.score(predicted, true)
