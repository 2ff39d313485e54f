"""Pairs of tracks and the slots that they lie in, by hand."""

import numpy as np
import pytest

from stiid.evaluation.track_agreement import PairCounts, count_pairs

T, SIZE = 6, 32


def walk(start, step):
    return np.array(start) + np.arange(T)[:, None] * np.array(step, float)


# Two points on one walker, one on another who goes the other way.
TRACKS = np.stack([walk((4, 4), (1, 0)), walk((4, 8), (1, 0)), walk((26, 20), (-2, 0))])
UPPER_LOWER = np.broadcast_to((np.arange(SIZE) >= 12)[None, :, None], (T, SIZE, SIZE)).astype(int)


def test_a_perfect_segmentation():
    """Points: 12 in slot 0, 6 in slot 1; by chance two share a slot with (2/3)² + (1/3)² = 5/9."""
    counts = count_pairs(TRACKS, UPPER_LOWER)
    assert counts == pytest.approx(PairCounts(1, 1, 5 / 9, 2, 2, 2 * 4 / 9))


def test_one_slot_for_all_is_no_better_than_chance():
    counts = count_pairs(TRACKS, np.zeros((T, SIZE, SIZE), int))
    assert counts == pytest.approx(PairCounts(1, 1, 1, 2, 0, 0))


def test_agreement_is_counted_frame_by_frame():
    """In frames 0 and 1 all is one slot: of 6 frames, the different pairs are apart in 4."""
    slots = UPPER_LOWER.copy()
    slots[:2] = 0
    counts = count_pairs(TRACKS, slots)
    assert counts.same_together == 1
    assert counts.different_apart == pytest.approx(2 * 4 / 6)


def test_a_point_that_was_rounded_to_the_edge_counts():
    """In float32, 31.9999999 is 32: where a point of one walker ends below, of one on the right."""
    starts, steps = (
        ((4, 14.4999999), (8, 14), (26.9999999, 4)),
        ((0, 3.5), (0, 3.5), (1, 0)),
    )
    tracks = np.stack([walk(*each) for each in zip(starts, steps, strict=True)])
    slots = np.zeros((T, SIZE, SIZE), int)
    slots[:, 14:, :16] = 1
    rounded = tracks.astype(np.float32)
    np.testing.assert_array_equal(rounded.max((0, 1)), SIZE)
    assert tracks.max() < SIZE
    assert count_pairs(rounded, slots) == pytest.approx(PairCounts(1, 1, 5 / 9, 2, 2, 2 * 4 / 9))
    assert count_pairs(rounded, slots) == count_pairs(tracks, slots)


def test_rows_and_columns_are_not_exchanged():
    left_right = UPPER_LOWER.transpose(0, 2, 1)
    counts = count_pairs(TRACKS, left_right)  # columns 4..9 and 26..16: the slots are right, too
    assert (counts.same_together, counts.different_apart) == (1, 2)
    tracks = np.stack([walk((4, 20), (1, 0)), walk((20, 20), (-1.4, 0))])
    assert count_pairs(tracks, UPPER_LOWER).different_apart == 0


def test_frames_in_which_both_are_seen_decide():
    tracks = TRACKS.copy()
    tracks[0, 3:] = np.nan  # 3 frames with the others: too few to judge
    counts = count_pairs(tracks, UPPER_LOWER)
    assert (counts.same, counts.different) == (0, 1)


@pytest.mark.parametrize(
    ("second", "same", "different"),
    [
        (walk((4, 30), (1, 0)), 0, 0),  # moves alike, but far away
        (walk((4, 8), (1.8, 0)), 0, 0),  # neither: 4 pixels in all, 2 from their mean
        (walk((4, 8), (3.5, 0)), 0, 1),
        (walk((4, 8), (1.2, 0)), 1, 0),
    ],
)
def test_what_moves_as_one(second, same, different):
    counts = count_pairs(np.stack([TRACKS[0], second]), UPPER_LOWER)
    assert (counts.same, counts.different) == (same, different)


def test_nothing_to_judge():
    assert count_pairs(np.zeros((0, T, 2)), UPPER_LOWER) == PairCounts()
    assert count_pairs(np.full((3, T, 2), np.nan), UPPER_LOWER) == PairCounts()
    assert count_pairs(TRACKS[:1], UPPER_LOWER)[:2] == (0, 0)
