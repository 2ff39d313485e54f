"""Angles and run lengths, as annotations and proposals hold them."""

import itertools

import numpy as np
import pytest

from stiid.data.clevrer.proposals import decode_rle
from stiid.data.solids.writer import encode_rle, euler_angles


def turn(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[i, j, i, j], [i, j, j, i]] = c, c, -s, s
    return matrix


@pytest.mark.parametrize("y", [0.3, -1.2, np.pi / 2, -np.pi / 2, np.pi / 2 - 1e-9])
def test_angles_about_fixed_axes(y):
    for x, z in itertools.product((-3.0, -0.4, 0.0, 2.0), (-2.5, 0.0, 0.7, 3.1)):
        matrix = turn(2, z) @ turn(1, y) @ turn(0, x)
        angles = euler_angles(matrix)
        again = turn(2, angles[2]) @ turn(1, angles[1]) @ turn(0, angles[0])
        np.testing.assert_allclose(again, matrix, atol=1e-12)
        if abs(y) < 1.5:
            np.testing.assert_allclose(angles, (x, y, z), atol=1e-12)


def test_an_upright_objects_yaw_is_the_third_angle():
    np.testing.assert_allclose(euler_angles(turn(2, 0.4)[None]), [(0, 0, 0.4)], atol=1e-15)


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ((6,), "6"),
        ((0, 6), "06"),
        ((1, 2, 3), "123"),
        ((15, 1), "?1"),
        ((16, 1), "`01"),
        # 40 = 8 + 32 is chr(8 + 32 + 48), chr(1 + 48). Then follow the differences 2 - 1 and
        # 17 - 40 = 9 - 32, which is chr(9 + 32 + 48) and -1: chr(31 + 48).
        ((40, 1, 40, 2, 17), "X11X11YO"),
    ],
)
def test_run_lengths_by_hand(runs, text):
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs)[:, None]
    assert encode_rle(mask) == text


def test_run_lengths_of_random_masks():
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 60, 2)
        mask = rng.random((height, width)) < rng.choice([0.02, 0.5, 0.98])
        np.testing.assert_array_equal(decode_rle(encode_rle(mask), height, width), mask)
