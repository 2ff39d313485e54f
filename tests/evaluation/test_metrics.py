"""Oracles: scikit-learn, brute force over matchings, and tables worked by hand."""

import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import adjusted_rand_score

from stiid.evaluation.metrics import (
    adjusted_rand_index,
    clip_scores,
    contingency,
    matched_iou,
    object_recall,
    slot_switches,
)
from stiid.evaluation.totals import ScoreTotals


def table_of(true_ids, slots, num_ids, num_slots):
    """An independent table by a loop over pixels."""
    table = np.zeros((num_ids, num_slots), np.int64)
    for n, k in zip(np.ravel(true_ids), np.ravel(slots), strict=True):
        table[n, k] += 1
    return table


def random_tables(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 40, shape) * (rng.random(shape) < 0.6)


# --- contingency ----------------------------------------------------------------------------------


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


# --- adjusted Rand index --------------------------------------------------------------------------

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


# --- matched IoU ----------------------------------------------------------------------------------


def brute_force_iou(table):
    objects = [n for n in range(1, table.shape[0]) if table[n].sum()]
    if not objects:
        return math.nan
    best = 0.0
    for slots in itertools.permutations(range(table.shape[1] + len(objects)), len(objects)):
        total = 0.0
        for n, k in zip(objects, slots, strict=True):
            if k < table.shape[1]:  # the others are "no slot"
                total += table[n, k] / (table[n].sum() + table[:, k].sum() - table[n, k])
        best = max(best, total)
    return best / len(objects)


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


# --- object recall --------------------------------------------------------------------------------


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


# --- slot switches --------------------------------------------------------------------------------


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


# --- clip scores and totals -----------------------------------------------------------------------


def test_clip_scores_against_pixels():
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 3, (2, 4, 6, 6))
    slots = np.where(rng.random(ids.shape) < 0.7, ids, rng.integers(0, 4, ids.shape))
    error = rng.random((2, 4))
    scores = clip_scores(contingency(ids, slots, num_ids=3, num_slots=4), error, length=3)
    for b in range(2):
        true, pred = ids[b, :3], slots[b, :3]
        fg = true > 0
        per_frame = [
            adjusted_rand_score(t.ravel(), p.ravel()) for t, p in zip(true, pred, strict=True)
        ]
        per_frame_fg = [adjusted_rand_score(true[t][fg[t]], pred[t][fg[t]]) for t in range(3)]
        expected = {
            "ari": adjusted_rand_score(true.ravel(), pred.ravel()),
            "f_ari": adjusted_rand_score(true[fg], pred[fg]),
            "ari_frame": np.mean(per_frame),
            "f_ari_frame": np.mean(per_frame_fg),
            "miou": brute_force_iou(table_of(true, pred, 3, 4)),
            "mse": error[b, :3].mean(),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(scores[name][b], value, atol=1e-12, err_msg=name)
    assert set(scores) == {*expected, "recall", "slot_switches"}


def test_per_clip_is_stricter_than_per_frame():
    # Two objects swap their slots half-way: every frame is perfect, the clip is not.
    frame = np.array([[6, 0, 0], [0, 4, 0], [0, 0, 4]])
    scores = clip_scores(np.stack([frame, frame[:, [0, 2, 1]]])[None], np.zeros((1, 2)), length=2)
    assert scores["f_ari_frame"] == 1.0
    assert scores["f_ari"] < 0.0
    assert scores["slot_switches"] == 2


def test_prefix_equals_computing_from_scratch():
    tables, error = random_tables(4, (3, 8, 4, 5)), np.random.default_rng(4).random((3, 8))
    for length in range(1, 9):
        whole = clip_scores(tables, error, length=length)
        cut = clip_scores(tables[:, :length], error[:, :length], length=length)
        for name, value in whole.items():
            assert value.shape == (3,)
            assert value.dtype == np.float64
            np.testing.assert_array_equal(value, cut[name])


def test_clip_scores_rejects_bad_input():
    tables = random_tables(5, (2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"\[1, 3\], got 4"):
        clip_scores(tables, np.zeros((2, 3)), length=4)
    with pytest.raises(ValueError, match=r"\[1, 3\], got 0"):
        clip_scores(tables, np.zeros((2, 3)), length=0)
    with pytest.raises(ValueError, match="squared_error"):
        clip_scores(tables, np.zeros((2, 2)), length=1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_totals_merge_in_any_order(owners, random):
    clips = len(owners)
    rng = np.random.default_rng(clips)
    scores = {"ari": rng.normal(size=clips), "mse": rng.random(clips)}
    valid = rng.random(clips) < 0.7
    valid[0] = True
    whole = ScoreTotals.from_clips(scores, valid).mean()
    parts = []
    for owner in range(4):
        mine = np.array(owners) == owner
        parts.append(ScoreTotals.from_clips({k: v[mine] for k, v in scores.items()}, valid[mine]))
    random.shuffle(parts)
    total = ScoreTotals.empty()
    for part in parts:
        total = part.merge(total)
    assert total.count == valid.sum()
    for name, value in total.mean().items():
        np.testing.assert_allclose(value, whole[name], atol=1e-12)
        np.testing.assert_allclose(value, scores[name][valid].mean(), atol=1e-12)


def test_padded_clips_do_not_count():
    scores = {"ari": np.array([0.5, np.nan, 1.0])}
    totals = ScoreTotals.from_clips(scores, np.array([True, False, True]))
    assert totals == ScoreTotals(sums={"ari": 1.5}, counts={"ari": 2}, count=2)
    assert totals.mean() == {"ari": 0.75}


def test_clips_and_frames_without_objects_do_not_count():
    """Nine of ten clips are empty: found in one cluster or in two, they say nothing."""
    empty = np.array([[[7, 0], [0, 0]], [[4, 3], [0, 0]]])
    split = np.array([[[4, 0], [1, 2]], [[7, 0], [0, 0]]])  # its second frame is empty
    tables = np.stack([empty] * 9 + [split])
    scores = clip_scores(tables, np.ones((10, 2)), length=2)
    for name in set(scores) - {"mse"}:
        assert np.isnan(scores[name][:9]).all(), name
    total = ScoreTotals.from_clips(scores, np.ones(10, bool))
    assert (total.count, total.with_objects) == (10, 1)
    means = total.merge(ScoreTotals.from_clips(scores, np.arange(10) < 9)).mean()
    assert means["f_ari"] == means["f_ari_frame"] == 0.0  # a split object
    assert means["ari_frame"] == adjusted_rand_index(split[0])
    assert means["ari"] == adjusted_rand_index(split.sum(0))
    assert means["miou"] == 2 / 3
    assert means["mse"] == 1.0


def test_nothing_to_score_is_no_score():
    scores = clip_scores(np.array([[[[4, 3]]]]), np.array([[0.5]]), length=1)
    total = ScoreTotals.from_clips(scores, np.ones(1, bool))
    assert total.with_objects == 0
    assert np.isnan(total.mean()["f_ari"])
    assert total.mean()["mse"] == 0.5


def test_a_model_that_has_diverged_is_seen():
    total = ScoreTotals.from_clips({"mse": np.array([0.5, np.nan])}, np.ones(2, bool))
    assert np.isnan(total.mean()["mse"])
    assert total.with_objects is None


def test_totals_reject_bad_input():
    ok = ScoreTotals.from_clips({"ari": np.ones(2)}, np.ones(2, bool))
    with pytest.raises(ValueError, match="no clip"):
        ScoreTotals.empty().mean()
    with pytest.raises(ValueError, match="cannot merge"):
        ok.merge(ScoreTotals.from_clips({"mse": np.ones(2)}, np.ones(2, bool)))
    with pytest.raises(ValueError, match="bool"):
        ScoreTotals.from_clips({"ari": np.ones(2)}, np.ones(2))
    with pytest.raises(ValueError, match="ari must have shape"):
        ScoreTotals.from_clips({"ari": np.ones(3)}, np.ones(2, bool))
