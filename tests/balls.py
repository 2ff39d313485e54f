"""Options of bouncing balls that several tests use."""

import numpy as np

DDPAE = {
    "num_balls": (4,),
    "box": 800.0,
    "radii": (60.0,),
    "masses": (1.0,),
    "speed": 20.0,
    "micro_steps": 1,
    "law": "ddpae",
}


SMALL = {
    "num_balls": 3,
    "box": 10.0,
    "radii": (1.0, 1.25, 1.5),
    "masses": (1.0, 1.0, 1.0),
    "colors": "unique4",
    "resolution": 24,
    "frames": 6,
    "train": 30,
    "validation": 5,
    "test": 0,
}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
