"""Stored configs of before: the fields that came later, and what runs without them did."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from stiid.config.experiment import Data
from stiid.typed_config import parse, to_dict

# Field → what was done before there was a choice. It stays when a default changes.
CAME_LATER: Mapping[str, Any] = {
    "model.precision": "float32",
    "model.decoder.modulated": False,
    "model.refiner.squeezenet": False,
    "model.refiner.two_biases": False,
    "model.inference.gradient_scale": 1.0,
    "model.inference.gradient_clamp": None,
    "model.inference.delta_clamp": None,
    "model.inference.initial_weights": "lecun",
    "model.inference.last_decode": True,
    "model.inference.unroll": 0,
    "model.objective.num_simulated": 0,
    "model.objective.largest_share": 0.0,
    "optim.beta1": 0.9,
    "train.stagnation.patience": 0,
    "train.max_skips": 50,
    "evaluate.restarts": 1,
    "evaluate.restart_frames": 1,
}
CAME_LATER_TO_STAGES: Mapping[str, Any] = {"micro_batches": 1}


def migrate(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored config with the fields that came later, those of its data by their defaults.

    Raises:
      ValueError, TypeError: a section is missing, or its data are none of ours.
    """
    config: dict[str, Any] = json.loads(json.dumps(stored))
    try:
        for name, value in CAME_LATER.items():
            *sections, leaf = name.split(".")
            if sections[0] != "model" or config["model"]["family"] == "stiid":
                section = functools.reduce(lambda part, key: part[key], sections, config)
                section.setdefault(leaf, value)
        for stage in config["train"]["stages"].values():
            for name, value in CAME_LATER_TO_STAGES.items():
                stage.setdefault(name, value)
    except KeyError as error:
        raise ValueError(f"a stored config has no section {error}") from None
    data = to_dict(parse(Data, config["data"], "data"))
    return {**config, "data": json.loads(json.dumps(data))}
