"""Scores of tracks: by hand, by brute force over identities, and by other projects' numbers."""

import itertools

import numpy as np
import pytest
from flawed_clips import OBJECTS, SLOTS, flawed_clip
from tables import table_of

from stiid.evaluation.tracking import track_scores


def tables_of(ids, slots):
    frames = zip(ids, slots, strict=True)
    return np.stack([table_of(*frame, OBJECTS + 1, SLOTS) for frame in frames])[None]


@pytest.mark.parametrize(
    ("seed", "mota", "idf1", "switches"),
    [
        (0, -0.1702127659574468, 0.24489795918367346, 9),
        (2, 0.125, 0.4, 10),
        (4, -0.3333333333333333, 0.20618556701030927, 11),
        (5, -0.4375, 0.1836734693877551, 13),
    ],
)
def test_scores_of_trackeval(seed, mota, idf1, switches):
    """Numbers of trackeval 1.3.0 (CLEAR, Identity), to which slot 0, the background's, is none."""
    scores = track_scores(tables_of(*flawed_clip(seed)))
    np.testing.assert_allclose(scores.mota, mota, atol=1e-12)
    np.testing.assert_allclose(scores.idf1, idf1, atol=1e-12)
    assert scores.id_switches == switches


def test_identities_equal_brute_force():
    for seed in range(20, 26):
        table = tables_of(*flawed_clip(seed))[0]
        inter, areas = table[:, 1:, 1:], table.sum(-1)[:, 1:]
        slots = table.sum(-2)[:, 1:]
        pairs = (2 * inter >= areas[..., None] + slots[:, None] - inter) & (inter > 0)
        best = max(
            sum(pairs[:, n, k].sum() for n, k in enumerate(order))
            for order in itertools.permutations(range(SLOTS - 1), OBJECTS)
        )
        expected = 2 * best / ((areas > 0).sum() + (slots > 0).sum())
        np.testing.assert_allclose(track_scores(table[None]).idf1, expected, rtol=1e-15)


def one_object(rows):
    """A table of one object that lies in the slot of each row, over a background in slot 0."""
    table = np.zeros((len(rows), 2, 3), int)
    table[:, 0, 0] = 50
    for t, slot in enumerate(rows):
        if slot is not None:
            table[t, 1, slot] = 6
    return table[None]


@pytest.mark.parametrize(
    ("rows", "mota", "idf1", "switches"),
    [
        ([1, 1, 1, 1], 1.0, 1.0, 0),
        ([1, 1, 2, 2], 0.75, 0.5, 1),
        ([1, 2, 1, 2], 0.25, 0.5, 3),
        ([1, None, 1, 1], 1.0, 1.0, 0),  # hidden
        ([1, None, 2, 2], 2 / 3, 2 / 3, 1),  # comes back in another slot
        ([1, 0, 1, 1], 0.75, 6 / 7, 0),  # missed: in the background's slot
        ([0, 0, 0, 0], 0.0, 0.0, 0),
    ],
)
def test_one_object_by_hand(rows, mota, idf1, switches):
    scores = track_scores(one_object(rows))
    np.testing.assert_allclose(scores, [[mota], [idf1], [switches]], rtol=1e-15)


def test_false_positives_lower_mota_below_zero():
    table = one_object([0, 0])
    table[:, :, 0, 1] = table[:, :, 0, 2] = 9  # two slots on the background, beside its own
    np.testing.assert_allclose(track_scores(table), [[-2.0], [0.0], [0]])


def test_an_earlier_pair_is_kept_while_it_may_be():
    table = np.array([[[90, 0, 0], [0, 8, 0]], [[90, 0, 0], [0, 5, 5]]])  # IoU .5 and .5
    for order in ([0, 1, 2], [0, 2, 1]):
        assert track_scores(table[None][..., order]).id_switches == 0


def test_clips_without_objects_have_no_tracks():
    tables = np.stack([one_object([1, 1])[0], one_object([None, None])[0]])
    scores = track_scores(tables)
    np.testing.assert_array_equal(scores, [[1.0, np.nan], [1.0, np.nan], [0.0, np.nan]])
    with pytest.raises(ValueError, match="at least 4 axes"):
        track_scores(tables[0])
