"""What decides a clip, and which options are refused."""

import dataclasses
import math

import pytest
from balls import assert_same

from stiid.data.balls.bouncing_balls import BallsSpec, clips


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_balls": ()}, "num_balls"),
        ({"num_balls": 0}, "num_balls"),
        ({"radii": (1.0,)}, "same kinds"),
        ({"masses": (1.0, -1.0)}, "positive"),
        ({"box": 2.9}, "fit into the box"),
        ({"speed": -1.0}, "speed"),
        ({"law": "rtrbm"}, r"law must be one of \('rnem', 'ddpae'\)"),
        ({"law": "ddpae", "speed": 1.5}, "whole speed of at least 1, got 1.5"),
        ({"law": "ddpae", "speed": 0.0}, "whole speed of at least 1, got 0"),
        ({"micro_steps": 0}, "micro_steps"),
        ({"colors": "pink"}, "unique4"),
        ({"colors": "unique4", "num_balls": 5}, "too few"),
        ({"resolution": 0}, "resolution"),
        ({"frames": 0}, "frames"),
        ({"seed": -1}, "seed"),
        ({"train": -1}, "train"),
        ({"train": 0, "validation": 0, "test": 0}, "train"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        BallsSpec(**options)


@pytest.mark.parametrize(
    "options",
    [{"num_balls": 4.5}, {"box": "15"}, {"speed": math.nan}, {"frames": True}, {"colors": 4}],
)
def test_bad_types(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        BallsSpec(**options)


def test_clips_do_not_depend_on_the_chunk():
    spec = BallsSpec(num_balls=(6, 7, 8), resolution=16)
    together = list(clips(spec, "train", stop=12))
    for chunk in (1, 5):
        for first, second in zip(together, clips(spec, "train", stop=12, chunk=chunk), strict=True):
            assert_same(first, second)
    assert_same(together[9], next(clips(spec, "train", start=9)))


def test_seed_split_and_index_decide_the_clip():
    def starts(**options):
        split = options.pop("split", "train")
        spec = BallsSpec(frames=1, resolution=8, **options)
        return [clip["positions"].tobytes() for clip in clips(spec, split, stop=20)]

    every = starts() + starts(seed=1) + starts(split="validation") + starts(split="test")
    assert len(set(every)) == 80
    assert starts() == starts()
    # Colors and counts leave the motion alone.
    assert starts() == starts(colors="unique4", train=21)


def test_every_parameter_changes_the_name():
    specs = [
        BallsSpec(),
        BallsSpec(num_balls=(4, 5)),
        BallsSpec(box=15.5),
        BallsSpec(radii=(1.2, 1.4)),
        BallsSpec(masses=(1.0, 5.0)),
        BallsSpec(speed=0.25),
        BallsSpec(micro_steps=4),
        BallsSpec(law="ddpae", speed=20.0),
        BallsSpec(colors="unique4"),
        BallsSpec(resolution=32),
        BallsSpec(frames=50),
        BallsSpec(train=1),
        BallsSpec(validation=1),
        BallsSpec(test=1),
        BallsSpec(seed=1),
    ]
    assert len(specs) == 1 + len(dataclasses.fields(BallsSpec))
    assert len({spec.name for spec in specs}) == len(specs)
    assert BallsSpec(num_balls=[4], box=15, radii=[1.2, 1.5]).name == BallsSpec().name
    # A changed name orphans the data sets on users' disks.
    assert BallsSpec().name == "4balls_binary_64px_51f_6d19180e6011"
