"""The colors of the authors' code: eight in a fixed order, by rank within a frame."""

import numpy as np
import pytest

from stiid.data.balls import rendering
from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.balls.r_nem import RNemSource, RNemSpec
from stiid.data.balls.r_nem_writer import write_r_nem

FIRST, SECOND, THIRD = (227, 206, 166), (180, 120, 31), (138, 223, 178)
SMALL = {"resolution": 16, "frames": 3}


def test_nothing_is_drawn():
    eight = rendering.draw_colors("authors8", 8, None)
    assert eight.tolist() == [list(color) for color in rendering.AUTHORS_COLORS]
    assert len({tuple(color) for color in eight.tolist()}) == 8
    four = rendering.draw_colors("authors4", 8, None)
    np.testing.assert_array_equal(four, np.concatenate([eight[:4], eight[:4]]))


def test_the_nth_smallest_id_of_a_frame_has_the_nth_color():
    masks = np.array([[[0, 1, 2, 3]], [[0, 3, 3, 1]], [[0, 0, 2, 0]]], np.uint8)
    colors = rendering.draw_colors("authors8", 3, None)
    video = rendering.paint(masks, colors, policy="authors8")
    black = (0, 0, 0)
    expected = [
        [[black, FIRST, SECOND, THIRD]],
        [[black, SECOND, SECOND, FIRST]],
        [[black, black, FIRST, black]],
    ]
    assert video.tolist() == np.array(expected).tolist()
    # Without the rule, a ball keeps its color.
    kept = rendering.paint(masks, colors, policy="unique8")
    assert tuple(kept[1, 0, 1]) == THIRD


def test_clips_are_painted_by_the_rule():
    clip = next(clips(BallsSpec(**SMALL, num_balls=(8,), colors="authors8"), "test", stop=1))
    for frame, ids in zip(clip["video"], clip["masks"], strict=True):
        for rank, number in enumerate(np.unique(ids[ids > 0])):
            assert (frame[ids == number] == rendering.AUTHORS_COLORS[rank]).all()


def test_white_balls_are_binary_ones_in_three_channels(tmp_path):
    (white,) = clips(BallsSpec(**SMALL, colors="white"), "test", stop=1)
    (binary,) = clips(BallsSpec(**SMALL), "test", stop=1)
    np.testing.assert_array_equal(white["video"], np.repeat(binary["video"], 3, axis=-1))
    write_r_nem(
        tmp_path / "balls.h5", BallsSpec(**SMALL, train=2, validation=1, test=1), curtain=False
    )
    for colors, channels in (("white", 3), ("binary", 1)):
        spec = RNemSpec(path=str(tmp_path / "balls.h5"), colors=colors, **SMALL)
        assert spec.view.channels == channels
        video = RNemSource(spec, "test")[0]["video"]
        assert video.shape == (3, 16, 16, channels)
        assert set(np.unique(video)) == {0, 255}


def test_nine_balls_are_too_many():
    with pytest.raises(ValueError, match="has 8 colors"):
        BallsSpec(num_balls=(9,), colors="authors8")
