"""Oracles: scikit-learn, brute force over matchings, and tables worked by hand."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import adjusted_rand_score
from tables import brute_force_iou, random_tables, table_of

from stiid.evaluation.metrics import (
    adjusted_rand_index,
    contingency,
    matched_iou,
    mean_best_overlap,
    object_recall,
    slot_switches,
)


def test_contingency_counts_pixels():
    rng = np.random.default_rng(0)
    ids, slots = rng.integers(0, 4, (2, 3, 5, 7)), rng.integers(0, 6, (2, 3, 5, 7))
    with jax.numpy_rank_promotion("raise"):
        counts = jax.jit(contingency, static_argnames=("num_ids", "num_slots"))(
            ids.astype(np.uint8), slots.astype(np.int32), num_ids=4, num_slots=6
        )
    assert counts.shape == (2, 3, 4, 6)
    assert counts.dtype == np.int32
    for b, t in np.ndindex(2, 3):
        np.testing.assert_array_equal(counts[b, t], table_of(ids[b, t], slots[b, t], 4, 6))


def test_contingency_is_exact_beyond_float32():
    # 2**24 + 1 is the first whole number that float32 cannot hold.
    ids = np.zeros((1, 1, 1, 2**24 + 1), np.uint8)
    counts = contingency(jax.numpy.asarray(ids), jax.numpy.asarray(ids), num_ids=1, num_slots=1)
    assert int(counts[0, 0, 0, 0]) == 2**24 + 1


def test_contingency_does_not_count_out_of_range_pixels_elsewhere():
    ids = np.array([[0, 3], [-1, 1]], np.int32)[None, None]
    slots = np.array([[2, 0], [1, 1]], np.int32)[None, None]
    ids, slots = np.concatenate([ids, ids]), np.concatenate([slots, slots])
    counts = contingency(ids, slots, num_ids=2, num_slots=2)
    np.testing.assert_array_equal(counts, np.tile([[0, 0], [0, 1]], (2, 1, 1, 1)))


def test_contingency_rejects_bad_arrays():
    ids = np.zeros((1, 2, 3, 3), np.int32)
    with pytest.raises(ValueError, match="same shape"):
        contingency(ids, ids[:, :1], num_ids=2, num_slots=2)
    with pytest.raises(ValueError, match="same shape"):
        contingency(ids[0], ids[0], num_ids=2, num_slots=2)
    with pytest.raises(ValueError, match="slots must be integers"):
        contingency(ids, ids.astype(np.float32), num_ids=2, num_slots=2)


labels = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 5))


@settings(max_examples=150, deadline=None)
@given(st.data(), labels)
def test_ari_equals_sklearn(data, true_ids):
    slots = data.draw(hnp.arrays(np.int64, true_ids.shape, elements=st.integers(0, 3)))
    ours = adjusted_rand_index(table_of(true_ids, slots, 6, 4))
    assert abs(ours - adjusted_rand_score(true_ids, slots)) <= 1e-12


@pytest.mark.parametrize("flips", [1, 10, 1000])
def test_ari_equals_sklearn_on_a_large_unbalanced_clip(flips):
    # 40 frames of 64 x 64 with nearly everything background: the textbook form loses digits here.
    true_ids = np.zeros(40 * 64 * 64, np.int64)
    true_ids[:flips] = 1
    slots = np.roll(true_ids, flips // 2)
    table = np.zeros((2, 2), np.int64)
    np.add.at(table, (true_ids, slots), 1)
    assert abs(adjusted_rand_index(table) - adjusted_rand_score(true_ids, slots)) <= 1e-12


def test_ari_by_hand():
    # S = 3 + 1 = 4, A = C(4) + C(2) = 7, B = C(3) + C(3) = 6, P = C(6) = 15, AB/P = 2.8:
    # (4 - 2.8) / (6.5 - 2.8) = 12/37.
    np.testing.assert_allclose(adjusted_rand_index(np.array([[3, 1], [0, 2]])), 12 / 37, rtol=1e-15)


@pytest.mark.parametrize(
    ("true_ids", "slots", "expected"),
    [
        ([], [], 1.0),  # empty frame
        ([3], [2], 1.0),  # one pixel
        ([1, 1, 1, 1], [0, 0, 0, 0], 1.0),  # single object, kept whole
        ([1, 1, 1, 1], [0, 0, 1, 1], 0.0),  # single object, split
        ([1, 1, 2, 2], [0, 0, 0, 0], 0.0),  # one cluster for all
        ([0, 1, 2, 3], [3, 1, 0, 2], 1.0),  # every pixel its own id, in both
        ([0, 1, 2, 3], [0, 0, 1, 1], 0.0),  # every pixel its own id, in the truth only
        ([0, 0, 9, 9], [5, 5, 2, 2], 1.0),  # ids that are not contiguous
    ],
)
def test_ari_edge_cases(true_ids, slots, expected):
    table = table_of(true_ids, slots, 10, 6)
    assert adjusted_rand_index(table) == expected
    assert adjusted_rand_score(true_ids, slots) == expected


def test_ari_of_duplicated_ids():
    # Two discs that share an id are one cluster of the truth: two slots for them are a split.
    two_ids, shared, slots = [1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 3, 3], [0, 0, 1, 1, 2, 2]
    assert adjusted_rand_index(table_of(two_ids, slots, 4, 3)) == 1.0
    expected = adjusted_rand_score(shared, slots)
    assert expected < 1
    np.testing.assert_allclose(
        adjusted_rand_index(table_of(shared, slots, 4, 3)), expected, rtol=1e-15
    )


def test_ari_is_permutation_invariant_and_batched():
    tables = random_tables(1, (3, 2, 5, 4))
    scores = adjusted_rand_index(tables)
    assert scores.shape == (3, 2)
    assert scores.dtype == np.float64
    permuted = tables[..., [3, 0, 4, 1, 2], :][..., [2, 3, 0, 1]]
    np.testing.assert_array_equal(adjusted_rand_index(permuted), scores)
    np.testing.assert_array_equal(adjusted_rand_index(tables.swapaxes(-1, -2)), scores)
    for index in np.ndindex(3, 2):
        assert adjusted_rand_index(tables[index]) == scores[index]


def test_tables_are_checked():
    with pytest.raises(ValueError, match="integer counts"):
        adjusted_rand_index(np.ones((2, 2)))
    with pytest.raises(ValueError, match="at least 2 axes"):
        adjusted_rand_index(np.ones(2, np.int32))
    with pytest.raises(ValueError, match="negative entry -1"):
        matched_iou(np.array([[1, -1]]))


@pytest.mark.parametrize("shape", [(4, 3), (3, 5), (5, 2), (1, 3), (2, 1)])
def test_matched_iou_equals_brute_force(shape):
    tables = random_tables(sum(shape), (6, *shape))
    expected = [brute_force_iou(table) for table in tables]
    np.testing.assert_allclose(matched_iou(tables), expected, rtol=1e-12)
    shuffled = tables[..., np.random.default_rng(0).permutation(shape[1])]
    np.testing.assert_allclose(matched_iou(shuffled), expected, rtol=1e-12)


def test_matched_iou_by_hand():
    # Slot 1 holds 15 pixels: 8 of object 1 (10 pixels, IoU 8/17), all 5 of object 2 (IoU 5/15),
    # 2 of the background. Object 1 wins it, object 2 is left with nothing.
    table = np.array([[90, 2, 0], [2, 8, 0], [0, 5, 0]])
    np.testing.assert_allclose(matched_iou(table), (8 / 17 + 0) / 2, rtol=1e-15)
    # The largest overlap (6 pixels, IoU 6/16) is not taken: both pairs of IoU 5/11 are.
    np.testing.assert_allclose(matched_iou(np.array([[0, 0], [6, 5], [5, 0]])), 5 / 11, rtol=1e-15)
    assert np.isnan(matched_iou(np.zeros((3, 2), np.int64)))
    assert np.isnan(matched_iou(np.array([[7, 3], [0, 0]])))
    assert matched_iou(np.array([[7, 0], [0, 3]])) == 1.0


def test_mean_best_overlap_by_hand():
    # As above: slot 1 is the best for both objects.
    table = np.array([[90, 2, 0], [2, 8, 0], [0, 5, 0]])
    np.testing.assert_allclose(mean_best_overlap(table), (8 / 17 + 5 / 15) / 2, rtol=1e-15)
    assert mean_best_overlap(np.stack([table, 0 * table])[None]).shape == (1, 2)
    assert np.isnan(mean_best_overlap(np.array([[7, 3], [0, 0]])))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[90, 0, 0], [0, 6, 0], [0, 0, 4]], 1.0),
        ([[90, 0, 0], [6, 0, 0], [0, 0, 4]], 0.5),  # one is in the background's slot
        ([[0, 90, 0], [0, 6, 0], [0, 0, 4]], 0.5),  # whichever slot that is
        ([[90, 0, 0], [0, 6, 0], [0, 4, 0]], 0.5),  # two share a slot: IoU .6 and .4
        ([[90, 0, 0], [0, 5, 0], [0, 5, 0]], 0.5),  # .5 and .5: the slot is of one of them
        ([[84, 6, 0], [0, 6, 0], [0, 0, 4]], 1.0),  # 6 of 12 pixels: just enough
        ([[83, 7, 0], [0, 6, 0], [0, 0, 4]], 0.5),  # 6 of 13
        ([[40, 30, 20], [0, 6, 0], [0, 0, 4]], 0.0),  # a background in shreds
        ([[1, 0, 0], [9, 0, 0], [0, 0, 4]], 0.5),  # a large object in the background's slot
        ([[0, 0, 0], [6, 0, 0], [0, 0, 4]], 1.0),  # no background at all
        ([[90, 0, 0], [0, 6, 0], [0, 0, 0]], 1.0),  # an object that does not occur
        ([[90, 0, 0], [0, 0, 0], [0, 0, 0]], np.nan),
    ],
)
def test_object_recall_by_hand(table, expected):
    np.testing.assert_array_equal(object_recall(np.array([table])), [expected])


@pytest.mark.parametrize(
    ("rows", "expected"),  # pixels of one object per frame and slot
    [
        ([[5, 0], [5, 0], [5, 0]], 0),
        ([[5, 0], [0, 5], [5, 0]], 2),
        ([[5, 0], [2, 3], [2, 3]], 1),
        ([[5, 0], [0, 0], [5, 0]], 0),  # hidden, comes back in its slot
        ([[5, 0], [0, 0], [0, 5]], 1),  # hidden, comes back in another slot
        ([[0, 0], [0, 5], [0, 5]], 0),  # enters late
        ([[0, 5], [4, 4], [0, 5]], 0),  # a tie is not a change
        ([[0, 0], [0, 0], [0, 0]], 0),
    ],
)
def test_slot_switches_by_hand(rows, expected):
    background = np.array([[9, 0], [0, 9], [9, 0]])  # its switches do not count
    table = np.stack([background, np.array(rows)], 1)[None]
    np.testing.assert_array_equal(slot_switches(table), [expected])


def test_slot_switches_add_over_objects():
    swap = np.array([[[0, 0], [4, 0], [0, 4]], [[0, 0], [0, 4], [4, 0]]])
    np.testing.assert_array_equal(slot_switches(np.stack([swap, swap[[0, 0]]])), [2, 0])
    np.testing.assert_array_equal(slot_switches(swap[None, :, :1]), [0])
