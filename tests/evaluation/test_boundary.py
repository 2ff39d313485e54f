"""J and F of DAVIS: another project's numbers, a plain loop over pixels, and cases by hand."""

import numpy as np
import pytest
from flawed_clips import flawed_clip

from stiid.evaluation.boundary import region_scores


@pytest.mark.parametrize(
    ("seed", "j", "f"),
    [
        (1, 0.23909928661613394, 0.3237573331636317),
        (2, 0.34702860585319717, 0.3950978535353536),
        (4, 0.23947541669239425, 0.33176008198630347),
    ],
)
def test_scores_of_trackeval(seed, j, f):
    """Numbers of trackeval 1.3.0 (JAndF, matched by J&F), to which slot 0 is no track."""
    ids, slots = flawed_clip(seed)
    scores = region_scores(slots, ids)
    np.testing.assert_allclose(scores, (j, f), atol=1e-12)
    np.testing.assert_allclose(region_scores(7 * slots + 3, 100 * ids), scores, rtol=1e-15)


def square(row, column, *, size=10):
    ids = np.zeros((1, 100, 100), int)
    ids[0, row : row + size, column : column + size] = 1
    return ids


def test_contours_within_the_tolerance_match():
    """0.8 % of a diagonal of 141 pixels, rounded up, is 2 pixels."""
    assert region_scores(square(40, 42), square(40, 40)).f == 1.0
    assert 0.5 < region_scores(square(40, 43), square(40, 40)).f < 1.0
    assert region_scores(square(40, 60), square(40, 40)).f == 0.0
    assert region_scores(square(40, 42), square(40, 40)).j == 80 / 120


def test_cases_by_hand():
    one = square(40, 40)
    assert region_scores(one, one) == (1.0, 1.0)
    assert region_scores(0 * one, one) == (0.0, 0.0)  # all in the background's slot
    assert region_scores(0 * one, np.ones_like(one)) == (1.0, 1.0)  # no background, no contour
    # Right in one of two frames; then the object leaves, and so does its slot: that counts nothing.
    true = np.concatenate([one, one, 0 * one])
    assert region_scores(np.concatenate([one, 0 * one, 0 * one]), true) == (0.5, 0.5)
    # A slot that stays after the object has left is wrong in that frame.
    assert region_scores(np.concatenate([one, one, one]), true) == pytest.approx((2 / 3, 2 / 3))
    # An object without a slot counts 0.
    two = one + 2 * square(10, 10)
    assert region_scores(one, two) == (0.5, 0.5)


def test_no_objects_no_scores():
    empty = np.zeros((2, 4, 4), int)
    assert np.isnan(region_scores(empty, empty)).all()
    with pytest.raises(ValueError, match="same shape"):
        region_scores(empty, empty[:1])
