"""Complete stored configs of earlier versions by the fields that were added since.

A new field of a config is entered into ``SINCE_DEFAULTS`` with the value that means the behavior
before the field existed. The entry stays when the default changes.
"""

import copy
import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from stiid.config.experiment import Data
from stiid.data import registry
from stiid.typed_config import parse, to_dict

# Field → value; added while a config still listed all fields.
_LISTED: Mapping[str, Any] = {
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
# Added since fields have defaults. Names of recorded runs leave these out if they have this value.
SINCE_DEFAULTS: Mapping[str, Any] = {
    "data.pieces": False,
    "data.options.law": "rnem",
    "data.options.all_in_view": 0,
    "data.options.resize": "area",
    "data.options.aspect": "stretch",
    "data.options.train_frames": 0,
    "model.decoder.mlp_elu": False,
    "model.prior.form": "log_std",
    "model.refiner.cell": "graves",
    "model.inference.first_sample": "posterior",
    "model.inference.appearance": "free",
    "model.inference.residual_prior": False,
    "model.inference.seed_scale": 5.0,
    "model.inference.result_masks": "prior",
    "model.objective.inner_entropy": False,
    "model.objective.adaptive_beta": False,
    "model.objective.seeds": 0.0,
}
CAME_LATER = {**_LISTED, **SINCE_DEFAULTS}
CAME_LATER_TO_STAGES: Mapping[str, Any] = {"micro_batches": 1}


def migrate(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Add later fields, and all options of its data, to a stored config.

    Raises:
      ValueError, TypeError: a section is missing, or the data source is unknown.
    """
    config: dict[str, Any] = json.loads(json.dumps(stored))
    try:
        for name, value in CAME_LATER.items():
            if _has(config, name):
                section, leaf = _place(config, name)
                section.setdefault(leaf, value)
        for stage in config["train"]["stages"].values():
            for name, value in CAME_LATER_TO_STAGES.items():
                stage.setdefault(name, value)
    except KeyError as error:
        raise ValueError(f"a stored config has no section {error}") from None
    data = to_dict(parse(Data, config["data"], "data"))
    return {**config, "data": json.loads(json.dumps(data))}


def without_later(config: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the fields of ``SINCE_DEFAULTS`` that have that value from a config, or a part of it."""
    shorter = copy.deepcopy(dict(config))
    for name, value in SINCE_DEFAULTS.items():
        try:
            section, leaf = _place(shorter, name)
        except KeyError:
            continue
        if section.get(leaf, ...) == value:
            del section[leaf]
    return shorter


def _has(config: Mapping[str, Any], name: str) -> bool:
    """Whether a field exists for the model family and the data source of a config."""
    if name.startswith("model."):
        return bool(config["model"]["family"] == "stiid")
    if not name.startswith("data.options."):
        return True
    source = registry.ENTRIES.get(config["data"]["name"])
    options = dataclasses.fields(source.spec) if source else ()
    return name.split(".")[-1] in {option.name for option in options}


def _place(config: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The section that a field is in, and its name there."""
    *sections, leaf = name.split(".")
    return functools.reduce(lambda part, key: part[key], sections, config), leaf
