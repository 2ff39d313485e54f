"""The smallest experiment that uses everything, for the tests of the whole system.

It is a config file as well: ``--config=tests/tiny.py``. Two balls on 8×8 pixels, K = 3, D = 4; two
stages of 2 and 3 frames; 10 validation clips, which are not a multiple of the batch of 8.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from stiid.experiment import Experiment, parse

CONFIG: dict[str, Any] = {
    "seed": 0,
    "data": {
        "name": "bouncing_balls",
        "data_dir": "~/.cache/stiid",
        "max_frames": 5,
        "options": {
            "num_balls": (2,),
            "box": 10.0,
            "radii": (1.5, 2.0),
            "masses": (1.0, 1.0),
            "speed": 1.0,
            "colors": "unique4",
            "resolution": 8,
            "frames": 6,
            "train": 20,
            "validation": 10,
            "test": 4,
        },
    },
    "model": {
        "latent_size": 4,
        "num_slots": 3,
        "decoder": {
            "features": 6,
            "layers": 2,
            "kernel_size": 1,
            "frequencies": (0.5,),
            "mlp_features": 5,
            "residual": True,
        },
        "refiner": {
            "features": 5,
            "layers": 2,
            "stride": 2,
            "pool": "none",
            "hidden": 7,
            "lstm_features": 6,
            "forget_scale": 0.5,
            "forget_bias": 1.0,
            "output_scale": 0.1,
        },
        "prior": {"features": 5},
        "inference": {
            "refinements": 1,
            "grid": "triangular",
            "time_axis": "lstm2d",
            "posterior_start": "posterior",
            "conditional_prior": True,
            "first_prior": "standard",
            "generation": True,
            "mixture": "pixel",
            "variance": 0.3,
            "posterior_mask": "normalized",
            "log_var_range": (-10.0, 3.0),
            "gradient_skip": 0.3,
            "init_scale": 0.5,
            "init_log_var": 0.0,
            "simulation_start": "prior",
            "remat": False,
        },
    },
    "objective": {
        "beta": 1.0,
        "psi": 0.3,
        "gamma": 0.0,
        "slot_entropy": 0.0,
        "step_weights": "linear",
    },
    "optim": {
        "learning_rate": 1e-2,
        "final_learning_rate": 1e-3,
        "warmup_steps": 0,
        "clip_norm": 5.0,
    },
    "train": {
        "stages": {
            "stage_0": {
                "steps": 3,
                "num_frames": 2,
                "batch_size": 8,
                "inference": {},
                "objective": {},
                "optim": {},
            },
            "stage_1": {
                "steps": 3,
                "num_frames": 3,
                "batch_size": 8,
                "inference": {},
                "objective": {},
                "optim": {},
            },
        },
        "stagnation": {"window": 0, "min_improvement": 0.0, "collapse_kl": 0.0},
        "log_every": 1,
        "eval_every": 100,
        "checkpoint_every": 100,
        "best_metric": "f_ari",
        "non_finite": "stop",
    },
    "evaluate": {
        "split": "validation",
        "clips": 0,
        "batch_size": 8,
        "lengths": (2, 4),
        "num_slots": 3,
        "inference": {},
        "noise": "first",
        "seed": 0,
    },
    "predict": {"clips": 2, "num_observed": 3, "num_simulated": 2},
}


def get_config() -> ConfigDict:
    """The tiny experiment as a config file."""
    return ConfigDict(CONFIG)


def experiment(data_dir: Path, **changes: Any) -> Experiment:
    """The tiny experiment.

    Args:
      data_dir: of the prepared data.
      **changes: of fields, with "__" for a dot: ``train__non_finite="skip"``.
    """
    config = ConfigDict(CONFIG)
    config.data.data_dir = str(data_dir)
    with config.unlocked():
        for name, value in changes.items():
            section, _, leaf = name.replace("__", ".").rpartition(".")
            node = config
            for part in filter(None, section.split(".")):
                node = node[part]
            node[leaf] = value
    return parse(Experiment, config.to_dict())
