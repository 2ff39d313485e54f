"""What a config and the checkpoint that it is applied to must agree on."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stiid.config import to_dict
from stiid.experiment import Experiment

# What a resumed run may not change: all that decides the next step. A restored one keeps the model.
TRAINING = (
    "seed",
    "data.name",
    "data.max_frames",
    "data.options",
    "model",
    "optim",
    "train.stages",
    "train.stagnation",
)
MODEL = ("model",)


def check_same(
    names: Sequence[str], experiment: Experiment, stored: dict[str, Any], *, where: Path
) -> None:
    """Refuse a checkpoint of another experiment."""
    ours = json.loads(json.dumps(to_dict(experiment)))
    for name in names:
        difference = _difference(name, _field(ours, name), _field(stored, name))
        if difference:
            raise ValueError(
                f"{where} holds a checkpoint of another config: {difference}. Use that config, or "
                "another --workdir"
            )


def _field(config: dict[str, Any], name: str) -> Any:
    return functools.reduce(lambda section, key: section.get(key, {}), name.split("."), config)


def _difference(name: str, ours: Any, theirs: Any) -> str | None:
    """The first field in which two configs differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            found = _difference(f"{name}.{key}", ours.get(key), theirs.get(key))
            if found:
                return found
        return None
    return None if ours == theirs else f"{name} is {theirs!r} there and {ours!r} here"
