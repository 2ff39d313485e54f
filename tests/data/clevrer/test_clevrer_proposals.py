"""Run lengths and proposals of CLEVRER, by hand and broken in every way."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import official
import pytest
from clevrer_files import PROPOSALS, QUICK, frames, reason

from stiid.data.clevrer.proposals import decode_rle, parse_proposals


@pytest.mark.parametrize(
    ("counts", "size", "runs"),
    [
        ("414", (3, 3), [4, 1, 4]),  # the middle of 3x3
        ("534N", (13, 1), [5, 3, 4, 1]),  # 1 - 3 = -2 → 30 → "N"
        ("T3", (10, 10), [100]),  # 100 = 4 + 3 * 32 → 36, 3
        ("d0", (20, 1), [20]),  # bit 16 of 20 would be a sign: 52, 0
        ("0d0", (4, 5), [0, 20]),
        ("PPf4", (320, 480), [153_600]),  # 0, 0, 22, 4 in base 32
        ("11100N", (1, 4), [1, 1, 1, 1, 1, -1]),
    ],
)
def test_run_lengths_by_hand(counts, size, runs):
    if min(runs) < 0:
        with pytest.raises(ValueError, match="a run of -1 pixels"):
            decode_rle(counts, *size)
        return
    flat = np.concatenate([np.full(run, i % 2 == 1) for i, run in enumerate(runs)])
    height, width = size
    expected = [[flat[c * height + r] for c in range(width)] for r in range(height)]
    mask = decode_rle(counts, *size)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, expected)
    assert official.encode_rle(mask) == counts


@QUICK
@hypothesis.given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_run_lengths_there_and_back(height, width, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    for _ in range(rng.integers(4)):
        top, left = rng.integers(height), rng.integers(width)
        mask[top : top + rng.integers(50), left : left + rng.integers(50)] ^= True
    mask ^= rng.random(mask.shape) < rng.choice([0, 0.5])
    np.testing.assert_array_equal(decode_rle(official.encode_rle(mask), height, width), mask)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "its runs are 0 pixels long, expected 9"),
        ("41", "its runs are 5 pixels long, expected 9"),
        ("4141", "its runs are"),
        ("T", "ends within a number"),
        ("41/", "'/' does not occur"),
        ("41é", "'é' does not occur"),
        ("N", "a run of -2 pixels"),
        ("oooooooooooo1", "more than 30 bits"),
        ("ooooo0", "a run of"),
    ],
)
def test_malformed_run_lengths(counts, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(counts, 3, 3)


@QUICK
@hypothesis.given(
    st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=12) | st.text(max_size=5)
)
def test_any_text_is_refused_or_a_mask(counts):
    told = reason(decode_rle, counts, 5, 4)
    assert told.startswith("malformed mask") or not told
    if not told:
        mask = decode_rle(counts, 5, 4)
        assert mask.shape == (5, 4)
        np.testing.assert_array_equal(decode_rle(official.encode_rle(mask), 5, 4), mask)


NAMES = [(*official.name(i).values(), "sphere") for i in range(3)]


def test_identity_is_by_color_material_and_shape():
    """The last object is listed first; ids follow the names, not the list."""
    proposals = parse_proposals(PROPOSALS.encode(), "p")
    for t in (0, 70):
        ids = proposals.ids(t, NAMES)
        assert (ids.dtype, ids.shape) == (np.uint8, (320, 480))
        for i in range(3):
            np.testing.assert_array_equal(ids == i + 1, official.disc(official.MOVING, i, t))
    np.testing.assert_array_equal(proposals.ids(0, NAMES[:1]) > 0, proposals.ids(0, NAMES) == 1)


def test_scores_decide():
    """Low scores do not count; of two of one name, and of two in one place, the higher does."""
    content = json.loads(PROPOSALS)
    third, second, first = frames(content)[0]["objects"]
    truth = [official.disc(official.MOVING, i, 0) for i in range(3)]
    third["score"] = 0.49
    second["score"], first["score"] = 0.8, 0.7
    first["mask"]["counts"] = official.encode_rle(truth[0] | truth[1])
    lower = {**second, "score": 0.6, "mask": {**third["mask"]}}
    frames(content)[0]["objects"] = [second, lower, third, first]
    ids = parse_proposals(json.dumps(content).encode(), "p").ids(0, NAMES)
    np.testing.assert_array_equal(ids, 1 * truth[0] + 2 * truth[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("frames"), "p has no key 'frames'"),
        (lambda c: frames(c).pop(), "p has 127 frames"),
        (lambda c: frames(c)[5].update(frame_index=3), "p, frame 5: frame_index is 3"),
        (lambda c: frames(c)[5]["objects"][0].pop("mask"), "p, frame 5 has no key 'mask'"),
        (lambda c: frames(c)[5]["objects"][0].update(score=float("inf")), "a finite number"),
        (
            lambda c: frames(c)[5]["objects"][0]["mask"].update(size=[480, 320]),
            r"size \[480, 320\], expected \[320, 480\]",
        ),
        (lambda c: frames(c)[5]["objects"][0]["mask"].update(counts=[1]), "expected a JSON string"),
        (lambda c: frames(c)[0]["objects"][0]["mask"].update(counts="1"), "p, frame 0: malformed"),
    ],
)
def test_broken_proposals(change, message):
    content = json.loads(PROPOSALS)
    change(content)
    with pytest.raises(ValueError, match=message):
        parse_proposals(json.dumps(content).encode(), "p").ids(0, NAMES)
