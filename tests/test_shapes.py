"""The check of shapes: what it lets pass, and what its errors say."""

import numpy as np
import pytest

from stiid.shapes import check_shapes


def test_shapes_that_fit_together_pass():
    frame, masks = np.zeros((2, 8, 6, 3)), np.zeros((2, 5, 8, 6, 1))
    check_shapes(frame=(frame, "B H W C"), masks=(masks, "B K H W 1"))
    check_shapes({"H": 8, "C": 3}, frame=(frame, "B H W C"))
    check_shapes()


@pytest.mark.parametrize(
    ("shape", "got"),
    [
        ((2, 5, 8, 7, 1), r"\(2, 5, 8, 7, 1\)"),  # W
        ((2, 5, 8, 6, 3), r"\(2, 5, 8, 6, 3\)"),  # not 1
        ((1, 5, 8, 6, 1), r"\(1, 5, 8, 6, 1\)"),  # B, which would broadcast
        ((2, 8, 6, 1), r"\(2, 8, 6, 1\)"),
        ((), r"\(\)"),
    ],
)
def test_an_error_names_the_expected_and_the_given_shape(shape, got):
    expected = rf"masks: expected shape \[B, K, H, W, 1\] = \(2, K, 8, 6, 1\), got {got}$"
    with pytest.raises(ValueError, match=expected):
        check_shapes(
            frame=(np.zeros((2, 8, 6, 3)), "B H W C"), masks=(np.zeros(shape), "B K H W 1")
        )


def test_known_sizes_bind_the_first_array():
    with pytest.raises(
        ValueError, match=r"video: expected shape \[T, C\] = \(T, 3\), got \(4, 1\)"
    ):
        check_shapes({"C": 3}, video=(np.zeros((4, 1)), "T C"))


def test_lists_are_arrays_too():
    check_shapes(video=([[1, 2], [3, 4], [5, 6]], "T C"))
    with pytest.raises(ValueError, match=r"got \(2,\)$"):
        check_shapes(video=([1, 2], "T C"))
