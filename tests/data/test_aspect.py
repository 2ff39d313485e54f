"""Frames whose aspect ratio differs from that of the result."""

import numpy as np
import pytest

from stiid.data.view import View

SIZE = {"height": 4, "width": 4, "channels": 3}


def wide():
    """8 × 24 pixels: the middle third is white, the left red, the right blue."""
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, :8, 0] = image[:, 8:16] = image[:, 16:, 2] = 255
    return image


def test_the_middle_is_cropped():
    view = View(**SIZE, aspect="crop")
    assert view.window(8, 24) == (8, 0, 16, 8)
    assert view.frame(wide()).min() == 255
    np.testing.assert_array_equal(view.origin(8, 24), [8, 0])
    np.testing.assert_array_equal(view.scale(8, 24), [2, 2])
    assert view.note(8, 24).startswith("the middle is shown, 8x8 of 24x8 pixels (aspect=letterbox")


def test_bars_are_added():
    view = View(**{**SIZE, "height": 6, "width": 6}, aspect="letterbox")
    assert view.window(8, 24) == (0, -8, 24, 16)
    frame = view.frame(wide())
    np.testing.assert_array_equal(frame[[0, 1, 4, 5]], 0)
    np.testing.assert_array_equal(frame[2], view.frame(wide())[3])
    np.testing.assert_array_equal(frame[2, :, 0], [255, 255, 255, 255, 0, 0])
    np.testing.assert_array_equal(frame[2, :, 2], [0, 0, 255, 255, 255, 255])
    np.testing.assert_array_equal(view.origin(8, 24), [0, -8])
    assert view.note(8, 24).startswith("black bars are added to 24x8 pixels")


def test_ids_follow_the_frames():
    ids = np.repeat([[1, 2, 3]], 8, 0).repeat(8, 1).astype(np.uint8)
    assert (View(**SIZE, aspect="crop").ids(ids) == 2).all()
    letterbox = View(**{**SIZE, "height": 6, "width": 6}, aspect="letterbox").ids(ids)
    np.testing.assert_array_equal(letterbox[[0, 1, 4, 5]], 0)
    np.testing.assert_array_equal(letterbox[2], [1, 1, 2, 2, 3, 3])
    assert letterbox.dtype == np.uint8


@pytest.mark.parametrize("aspect", ["crop", "letterbox", "stretch"])
def test_nothing_is_said_where_nothing_is_lost(aspect):
    view = View(**SIZE, aspect=aspect)
    assert view.window(8, 8) == (0, 0, 8, 8)
    assert view.note(8, 8) is None


def test_a_window_is_fitted_like_a_file():
    view = View(**SIZE, crop=(2, 1, 20, 6), aspect="crop")
    assert view.window(8, 24) == (9, 1, 15, 7)
    assert "6x6 of 20x6 pixels" in view.note(8, 24)


def test_a_stretch_is_said():
    assert "squeezed 3.0:1" in View(**SIZE).note(8, 24)
    with pytest.raises(ValueError, match=r"aspect must be one of .*, got 'squash'"):
        View(**SIZE, aspect="squash")
