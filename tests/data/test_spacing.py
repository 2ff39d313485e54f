"""Oracle: what "evenly spaced" means."""

import numpy as np
import pytest

from stiid.data.spacing import spaced


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(5, 3, [0, 2, 4]), (4, 3, [0, 2, 3]), (3, 8, [0, 1, 2]), (9, 1, [0]), (1, 1, [0]), (0, 4, [])],
)
def test_by_hand(count, most, expected):
    assert spaced(count, most) == expected


def test_first_last_and_steps_that_differ_by_one_at_most():
    for count in range(2, 40):
        for most in range(2, 40):
            places = spaced(count, most)
            steps = np.diff(places)
            assert (places[0], places[-1], len(places)) == (0, count - 1, min(count, most))
            assert steps.min() >= 1
            assert steps.max() - steps.min() <= 1
