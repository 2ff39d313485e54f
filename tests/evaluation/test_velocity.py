"""Boxes, matchings and velocities, by hand."""

import numpy as np
import pytest

from stiid.evaluation.velocity import MATCHINGS, box_centers, velocity_scores

NOWHERE = (np.nan, np.nan)


def clip(*tracks):
    """One clip [1, T, N, 2] from N lists of T positions."""
    return np.array(tracks, float).swapaxes(0, 1)[None]


def scores(predicted, truth, matching="hungarian"):
    return velocity_scores(predicted, truth, num_observed=2, matching=matching)


def test_box_centers():
    """Areas of 8×4 pixels: pixel k is [k, k + 1], and a box is not where its mass is."""
    rows = ("00000000", "01100002", "01000000", "00000002")
    ids = np.array([[int(digit) for digit in row] for row in rows])
    expected = [(4 / 8, 2 / 4), (2 / 8, 2 / 4), (7.5 / 8, 2.5 / 4), NOWHERE]
    np.testing.assert_array_equal(box_centers(ids, count=4), expected)
    flipped = box_centers(np.stack([[ids], [ids[::-1, ::-1]]]), count=3)
    assert flipped.shape == (2, 1, 3, 2)
    np.testing.assert_array_equal(flipped[1, 0], 1 - np.array(expected[:3]))


def test_formulas():
    """A velocity is the step from two frames before.

    Frame 2: 0.4·0.3 + 0.3·0.4 of 0.5·0.5, equally fast. Frame 3: backwards and half as fast.
    Frame 4: from (0.4, 0.3) to (0.4, 0.9), twice as fast as (0.3, 0.4) to (0.3, 0.7).
    """
    ours = [(0, 0), (0, 0), (0.4, 0.3), (0, -0.1), (0.4, 0.9)]
    theirs = [(0, 0), (0, 0), (0.3, 0.4), (0, 0.2), (0.3, 0.7)]
    result = scores(clip(ours), clip(theirs))
    assert result.cosine == pytest.approx([24 / 25, -1, 1])
    assert result.relative == pytest.approx([0, 1 / 2, 1])
    assert result.excluded == 0


def test_what_stands_still_does_not_count():
    """Below 1e-4, of the slot or of the object."""
    fast, slow = ([(0, 0), (0, 0), (0, y), (0, 0.5)] for y in (1.1e-4, 0.9e-4))
    for ours, theirs, counts in ((fast, fast, True), (fast, slow, False), (slow, fast, False)):
        result = scores(clip(ours), clip(theirs))
        assert result.cosine == [pytest.approx(1) if counts else None, pytest.approx(1)]
        assert (result.relative[0] is not None) == counts


def test_frames_without_a_position_do_not_count():
    """And the mean is over all pairs of all clips that are left."""
    right, up = [(0, 0), (0, 0), (0.1, 0), (0.1, 0)], [(1, 0), (1, 0), (1, 0.1), (1, 0.1)]
    lost = [*up[:3], NOWHERE]
    left = [(0, 0), (0, 0), (-0.4, 0), (-0.2, 0)]
    ours = np.concatenate([clip(right, lost), clip(left, up)])
    result = scores(ours, np.concatenate([clip(right, up)] * 2))
    assert result.cosine == pytest.approx([(1 + 1 - 1 + 1) / 4, (1 - 1 + 1) / 3])
    assert result.relative == pytest.approx([(0 + 0 + 3 + 0) / 4, (0 + 1 + 0) / 3])
    assert scores(clip(lost), clip(up)).cosine == [1, None]


def moving(x, step):
    """At x while it is observed, then off by a step."""
    return [(x, 0), (x, 0), np.add((x, 0), step), np.add((x, 0), step)]


RIGHT, UP = (0.1, 0), (0, 0.1)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_who_is_near_belongs_together(matching):
    """Objects 0 and 1 are near slots 1 and 0, and move like them; slot 2 is left over."""
    ours = clip(moving(0.9, UP), moving(0.2, RIGHT), moving(0.5, RIGHT))
    truth = clip(moving(0.1, RIGHT), moving(0.8, UP))
    result = scores(ours, truth, matching)
    assert (result.cosine, result.excluded) == (pytest.approx([1, 1]), 0)
    swapped = scores(ours[:, :, [1, 0, 2]], truth[:, :, ::-1], matching)
    assert swapped.cosine == result.cosine


def test_two_slots_near_one_object():
    """Squared distances 0.04, 0.81; 0.01, 0.36: one to one 0.40 < 0.82, but both prefer object 1.

    Hungarian: object 0 with slot 0, object 1 with slot 1. The second clip, without a conflict,
    tells whether the first is among the scores.
    """
    ours, truth = clip(moving(0.2, UP), moving(0.9, RIGHT)), clip(moving(0, UP), moving(0.3, UP))
    other = clip(moving(0, UP), moving(0.9, UP))
    ours = np.concatenate([ours, other, other, other])
    truth = np.concatenate([truth, other, other, other])
    result = scores(ours, truth)
    assert result.excluded == 0
    assert result.cosine == pytest.approx([7 / 8, 7 / 8])
    result = scores(ours, truth, "nearest")
    assert result.excluded == 1 / 4
    assert result.cosine == pytest.approx([1, 1])


def test_two_objects_near_one_slot():
    """With more slots it is the objects that choose."""
    ours = clip(moving(0.2, UP), moving(0.8, UP), moving(0.9, UP))
    truth = clip(moving(0, UP), moving(0.3, UP))
    assert scores(ours, truth, "nearest").excluded == 1
    assert scores(ours, truth).excluded == 0


def test_of_as_many_slots_the_slots_choose():
    """Both slots are nearest to object 1, each object has a slot of its own."""
    ours, truth = clip(moving(0.3, UP), moving(0.6, UP)), clip(moving(0, UP), moving(0.5, UP))
    assert scores(ours, truth, "nearest").excluded == 1
    assert scores(ours, truth).excluded == 0


def test_fewer_slots_than_objects():
    """DDPAE's rule scores the object that the slot is nearest to; one to one there is none."""
    ours, truth = clip(moving(0.7, UP)), clip(moving(0, RIGHT), moving(0.9, UP))
    result = scores(ours, truth, "nearest")
    assert (result.cosine, result.excluded) == (pytest.approx([1, 1]), 0)
    assert scores(ours, truth) == ([None, None], [None, None], 1)


# Each with an object at 0, and in the order near, far.
DISTANCES = {
    "squares": ([0.3, 0.3], [0.0, 0.5]),  # mean squares 0.09, 0.125; mean distances 0.3, 0.25
    # Mean squares where both are seen 0.0324, 0.04; their sums 0.0648, 0.04, halves 0.0324, 0.02.
    "seen frames": ([0.18, 0.18], [0.2, np.nan]),
    "seen once": ([0.2, np.nan], [0.3, 0.3]),
    "observed frames": ([0.2, 0.2], [0.3, 0.3]),  # the far one moves by less
}


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("case", DISTANCES)
def test_distances(matching, case):
    near, far = ([(x, 0) for x in xs] for xs in DISTANCES[case])
    ours = clip([*far, (0.3, 0.1), (0.3, 0.1)], [*near, (0.9, 0), (0.9, 0)])
    result = scores(ours, clip(moving(0, RIGHT)), matching)
    assert result.cosine[0] == pytest.approx(1)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_an_object_that_meets_no_slot_excludes_the_clip(matching):
    """The slot is seen when the object is not, and later."""
    ours = clip([(0, 0), NOWHERE, (0.1, 0), (0.1, 0)])
    truth = clip([NOWHERE, (0, 0), (0.1, 0), (0.1, 0)])
    assert scores(ours, truth, matching) == ([None, None], [None, None], 1)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_an_object_that_is_never_observed_is_left_out(matching):
    later = [NOWHERE, NOWHERE, (0, 0), (0, 0)]
    ours = clip(moving(0, RIGHT))
    result = scores(ours, clip(later, moving(0, RIGHT)), matching)
    assert (result.cosine, result.excluded) == (pytest.approx([1, 1]), 0)
    result = scores(ours, clip(later), matching)
    assert (result.cosine, result.excluded) == ([None, None], 0)


def test_an_object_that_is_observed_once_is_not_left_out():
    once = [NOWHERE, (0.5, 0), (0.5, 0), (0.5, 0)]
    assert scores(clip(moving(0, RIGHT)), clip(once, moving(0, RIGHT))).excluded == 1


@pytest.mark.parametrize(
    ("shape", "num_observed", "matching", "message"),
    [
        ((1, 4, 2, 2), 2, "nearby", r"matching: expected one of .*, got 'nearby'"),
        ((1, 5, 2, 2), 2, "nearest", r"the same \[B, T\]"),
        ((1, 4, 2, 2), 1, "nearest", r"2 <= num_observed < T, got num_observed=1, T=4"),
        ((1, 4, 2, 2), 4, "nearest", r"2 <= num_observed < T, got num_observed=4, T=4"),
    ],
)
def test_bad_arguments(shape, num_observed, matching, message):
    with pytest.raises(ValueError, match=message):
        velocity_scores(
            np.zeros(shape), np.zeros((1, 4, 1, 2)), num_observed=num_observed, matching=matching
        )
