"""A training of seconds, most of them for the start: RNN-EM on two balls of 8×8 pixels."""

from typing import Any


def get_config() -> dict[str, Any]:
    balls = {"num_balls": (2,), "box": 10.0, "radii": (1.5, 2.0), "masses": (1.0, 1.0)}
    size = {"resolution": 8, "frames": 3, "train": 20, "validation": 8, "test": 4}
    stage = {"steps": 12, "num_frames": 2, "batch_size": 4}
    return {
        "data": {
            "name": "bouncing_balls",
            "max_frames": 3,
            "options": {**balls, **size, "speed": 1.0, "colors": "binary"},
        },
        "model": {
            "family": "rnem",
            "cell": "rnn_em",
            "num_slots": 2,
            "features": (2,),
            "hidden": 4,
            "state_size": 4,
        },
        "train": {
            "stages": {"stage_0": stage, "stage_1": {**stage, "num_frames": 3}},
            "log_every": 1,
            "eval_every": 8,
            "checkpoint_every": 3,
        },
        "evaluate": {"clips": 8, "batch_size": 8, "lengths": (2,)},
        "predict": {"clips": 1, "num_observed": 2, "num_simulated": 1},
    }
