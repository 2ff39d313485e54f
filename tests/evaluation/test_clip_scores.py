"""Scores of clips, and their totals. Oracles: the pixels, and sums in any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from tables import brute_force_iou, random_tables, table_of

from stiid.evaluation.metrics import (
    adjusted_rand_index,
    clip_scores,
    contingency,
)
from stiid.evaluation.totals import ScoreTotals


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
            "ari_authors": np.mean(per_frame),
            "f_ari_authors": np.mean(per_frame_fg),
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
    for name in set(scores) - {"mse", "ari_authors", "f_ari_authors"}:
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


def test_scores_per_frame_are_those_of_the_authors_code():
    """Numbers of github.com/BorealisAI/PROVIDE at ad0b9ef, in float32, under PyTorch 2.13.0.

    F-ARI of a frame with a single object is 1 if it lies in one slot and 0 if it does not, there
    and here. A frame without objects counts 1 there, and not at all here.
    """
    rng = np.random.default_rng(0)
    ids = np.kron(rng.integers(0, 4, (2, 5, 3, 3)), np.ones((2, 2), int))
    masks = rng.random((2, 5, 4, 6, 6))
    masks += 0.8 * (ids[:, :, None] == np.arange(4)[:, None, None])
    ids[1, 2:4] = np.pad(np.full((2, 4), 3), ((1, 3), (1, 1)))
    masks[1, 2:4] = 0.1
    masks[1, 2:4, 1] = 0.9
    masks[1, 3, 2, :, :3] = 1.0
    tables = contingency(ids, masks.argmax(2), num_ids=4, num_slots=4)
    scores = clip_scores(tables, np.zeros((2, 5)), length=5)
    assert scores["ari_frame"].mean() == pytest.approx(0.7151238322, abs=1e-6)
    assert scores["f_ari_frame"].mean() == pytest.approx(0.8162592649, abs=1e-6)
    frames = adjusted_rand_index(np.asarray(tables)[1, :, 1:])
    expected = [0.8387610912, 1.0, 1.0, 0.0, 0.7117841840]
    np.testing.assert_allclose(frames, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "slots", "ari", "f_ari"),
    [
        ("000 011 011", "000 011 211", 0.7692307830, 1.0),  # one object, in one slot
        ("000 011 011", "000 012 211", 0.5324675441, 0.0),  # in two
        ("000 000 000", "000 012 211", 0.0, 1.0),  # no object
        ("011 022 220", "011 021 220", 0.6428571343, 0.3243243396),
    ],
)
def test_authors_scores_of_single_frames(ids, slots, ari, f_ari):
    """Numbers of the authors' code, as above. Where both see one cluster, their ARI is NaN."""
    frames = [np.array([[list(row) for row in x.split()]], int)[None] for x in (ids, slots)]
    scores = clip_scores(contingency(*frames, num_ids=3, num_slots=3), np.zeros((1, 1)), length=1)
    assert scores["ari_authors"] == pytest.approx([ari], abs=1e-7)
    assert scores["f_ari_authors"] == pytest.approx([f_ari], abs=1e-7)


def test_authors_scores_count_all_frames():
    tables = np.array([[[[7, 0], [0, 0]], [[4, 0], [1, 2]], [[0, 4], [3, 0]]]])
    scores = clip_scores(tables, np.zeros((1, 3)), length=3)
    assert scores["f_ari_frame"] == (0 + 1) / 2
    assert scores["f_ari_authors"] == (1 + 0 + 1) / 3
    frames = [adjusted_rand_index(table) for table in tables[0]]
    assert scores["ari_authors"] == pytest.approx(np.mean(frames))
