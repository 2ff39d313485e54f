"""Scores before and after contacts: a scene by hand, and what counts as a contact."""

import numpy as np
import pytest

from experiments.contacts import GROUPS, group_scores, groups, knows_contacts
from stiid.evaluation.metrics import contingency
from stiid.evaluation.velocity import box_centers

FREE, WALL, COLLIDED = range(3)


def frames(*rows):
    """Integers [T, 2, 8] of two rows, which a frame's digits are split into."""
    return np.array([[[int(digit) for digit in row] for row in frame.split()] for frame in rows])


# Balls 1 and 2 collide after the third frame, ball 3 moves on; there is no ball 4.
BALLS = frames(
    "11000022 33000000",
    "01100220 03300000",
    "00112200 00330000",
    "01100220 00033000",
    "11000022 00003300",
)
# Slot 2 passes through, slot 1 turns and is lost, slot 3 stops.
SLOTS = frames(
    "22000011 33000000",
    "02200110 03300000",
    "00221100 00330000",
    "00022110 00033000",
    "00002200 00033000",
)


def test_a_scene_by_hand():
    membership = np.array([[[COLLIDED, COLLIDED, FREE, FREE]] * 2])
    scores = group_scores(
        np.asarray(contingency(BALLS[None], SLOTS[None], num_ids=16, num_slots=5)),
        box_centers(SLOTS, count=5)[None],
        box_centers(BALLS, count=5)[None, :, 1:],
        membership,
        num_observed=3,
        size=(8, 2),
    )
    assert tuple(scores) == GROUPS
    nothing = [None, None]
    assert scores["wall"] == {"balls": [0, 0], "iou": nothing, "error": nothing, "cosine": nothing}
    free, collided = scores["free"], scores["collided"]
    assert free["balls"] == [1, 1]
    assert free["iou"] == pytest.approx([1, 1 / 3])
    assert free["error"] == pytest.approx([0, 1])
    assert free["cosine"] == pytest.approx([1, 1])
    assert collided["balls"] == [2, 2]
    assert collided["iou"] == pytest.approx([1 / 2, 0])
    assert collided["error"] == pytest.approx([1, 4])  # at last that of ball 1: ball 2 has no slot
    assert collided["cosine"] == [None, pytest.approx(-1)]  # at first both are where they were


def test_a_background_slot_without_a_position():
    """As DDPAE's, the last one: it is the ball's, which then has an IoU and no error."""
    ids = frames(*["11000000 00000000"] * 4)
    scores = group_scores(
        np.asarray(contingency(ids[None], ids[None], num_ids=16, num_slots=2)),
        box_centers(ids, count=1)[None],
        box_centers(ids, count=2)[None, :, 1:],
        np.zeros((1, 1, 1), int),
        num_observed=3,
        size=(8, 2),
    )
    assert scores["free"] == {"balls": [1], "iou": [1], "error": [None], "cosine": [None]}


def test_groups_are_what_has_happened_to_a_ball_since_the_last_observed_frame():
    """Ball 1 collides, ball 2 meets a wall late, ball 3 two walls and then a ball, ball 4 none."""
    velocities = np.array(
        [
            [[1, 2], [1, 2], [1, 2], [0, 0]],
            [[1, 2], [1, 2], [-1, 2], [0, 0]],
            [[1, 2], [1, 2], [-1, -2], [0, 0]],
            [[2, 1], [1, 2], [-1, -2], [0, 0]],
            [[2, 1], [1, -2], [-1, 3], [0, 0]],
        ],
        np.float32,
    )
    expected = [
        [FREE, FREE, WALL, FREE],
        [COLLIDED, FREE, WALL, FREE],
        [COLLIDED, WALL, COLLIDED, FREE],
    ]
    np.testing.assert_array_equal(groups(velocities, num_observed=2), expected)
    # An observed collision is none of a simulated frame.
    np.testing.assert_array_equal(
        groups(velocities, num_observed=4), expected[2:] * np.array([0, 1, 1, 0])
    )


@pytest.mark.parametrize(
    ("element", "known"),
    [
        ({"velocities": np.zeros((5, 2, 2))}, True),
        ({"velocities": np.zeros((5, 2, 3))}, False),  # in space, where friction changes them
        ({}, False),
    ],
)
def test_contacts_are_known_of_balls_in_the_plane(element, known):
    assert knows_contacts([element]) == known
