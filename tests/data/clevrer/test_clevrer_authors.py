"""CLEVRER as the authors' code cuts it: all objects in view, 320×320 pixels, cubic."""

import json

import numpy as np
import official
import pytest

from stiid.data.clevrer.annotations import parse_annotation
from stiid.data.clevrer.clips import find_start
from stiid.data.clevrer.source import ClevrerSpec

SPEC = ClevrerSpec(all_in_view=40, resize="cubic", crop=(80, 0, 320, 320), train_frames=128)


def start_of(hidden, spec=SPEC):
    """Start of the clip of a video of which object 1 is out of view in some frames."""
    content = official.annotation(official.MOVING)
    for t in hidden:
        content["motion_trajectory"][t]["objects"][1]["inside_camera_view"] = False
    annotation = parse_annotation(json.dumps(content).encode(), "a", with_view=True)
    masks = np.zeros((128, 2, 2), np.uint8)  # nobody is seen in the crop: it does not matter
    return find_start(annotation, masks, spec.cut("test"))


@pytest.mark.parametrize(
    ("hidden", "start"),
    [
        ([], 0),
        (range(30), 30),
        (range(40, 128), 0),  # frames 0 to 39 are in view
        (range(39, 128), None),  # one too few
        ([39], None),  # the first run is too short, and a later one does not count
        (range(87), 87),  # up to frame 126: the last one is not counted
        (range(88), None),
        (range(128), None),
    ],
)
def test_a_clip_is_the_first_run_of_frames_with_all_objects_in_view(hidden, start):
    assert start_of(hidden) == start


def test_other_numbers_of_objects_are_left_out():
    spec = ClevrerSpec(all_in_view=40, objects=(4, 5))
    assert start_of([], spec) is None


def test_the_key_is_needed_only_here():
    content = official.annotation(official.MOVING)
    del content["motion_trajectory"][5]["objects"][0]["inside_camera_view"]
    text = json.dumps(content).encode()
    assert parse_annotation(text, "a").in_view is None
    with pytest.raises(ValueError, match=r"motion_trajectory 5.*inside_camera_view"):
        parse_annotation(text, "a", with_view=True)


def test_training_pieces_come_from_whole_videos():
    assert (SPEC.cut("train").frames, SPEC.cut("test").frames) == (128, 40)
    assert ClevrerSpec().cut("train").frames == 40
    assert SPEC.view.resize == "cubic"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_frames": 129}, "train_frames must be at least 0"),
        ({"all_in_view": -1}, "all_in_view must not be negative, got -1"),
        ({"resize": "linear"}, "resize must be one of .*got 'linear'"),
    ],
)
def test_values_out_of_range_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        ClevrerSpec(**options)
