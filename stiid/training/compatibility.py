"""Check that a config fits the checkpoint that it is applied to."""

import functools
import itertools
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from stiid.config.curriculum import in_order
from stiid.config.experiment import Experiment
from stiid.data.options import PLACES
from stiid.files import free_name
from stiid.training.position import Position
from stiid.typed_config import to_dict

# Fields that decide what is learned. Stages are compared one by one: later ones may change.
TRAINING = (
    "seed",
    "data.name",
    "data.max_frames",
    "data.pieces",
    "data.options",
    "model",
    "optim",
    "train.stagnation",
)
MODEL = ("model",)
# If the loss on held-out clips ends stages, these fields decide what is learned, too.
PATIENCE = (
    "train.eval_every",
    "evaluate.split",
    "evaluate.clips",
    "evaluate.batch_size",
    "evaluate.seed",
)
# Fields that change memory and time only. Trained numbers change by rounding (and, as with another
# number of devices, by the part of the batch that batch norm sees).
FREE = (".inference.remat", ".inference.unroll", ".micro_batches")

# Paths may change: the fingerprint of the data tells whether the files are the same.
_PLACES = tuple(f"data.options.{name}" for name in PLACES)
_ANEW = "Use that config, or another --workdir"
_MISSING = object()
_NAMED = 5  # fields in a message


def training_fields(experiment: Experiment) -> tuple[str, ...]:
    """Fields that a resumed run may not change: all that decide the next step, except stages."""
    return TRAINING + (PATIENCE if experiment.train.stagnation.patience else ())


def check_resuming(
    experiment: Experiment, stored: dict[str, Any], position: Position, *, step: int, where: Path
) -> None:
    """Refuse to resume with another config, in one message that names all fields that differ.

    Stages that have not begun may differ.

    Args:
      experiment: config of the run that would resume.
      stored: config of the checkpoint.
      position: of the checkpoint.
      step: of the checkpoint: the updates that the user would lose.
      where: folder of the run.
    """
    begun = position.stage + (position.step_in_stage > 0)
    found = _all_differences(training_fields(experiment), experiment, stored)
    found += changed_stages(begun, experiment, stored)
    if found:
        folder, aside = (shlex.quote(str(path)) for path in (where, free_name(where)))
        raise ValueError(
            f"{where} holds {step} update(s) of another config: {_listed(found)}. To continue "
            "them, use that config; to start over, use another --workdir, or first move this one "
            f"away: mv {folder} {aside}"
        )


def changed_stages(begun: int, experiment: Experiment, stored: dict[str, Any]) -> list[str]:
    """Describe how the stages that have begun differ.

    Args:
      begun: number of stored stages that have begun, including the current one.
      experiment: config of the run that would resume.
      stored: config of the checkpoint.
    """
    stages = _as_stored(experiment)["train"]["stages"]
    before, found = stored["train"]["stages"], list[str]()
    for ours, theirs in itertools.zip_longest(in_order(stages)[:begun], in_order(before)[:begun]):
        if ours != theirs:
            return [
                *found,
                f"the stage {theirs} is trained there, and the config has "
                f"{ours or 'no further one'} in its place",
            ]
        found += _differences(f"train.stages.{ours}", stages[ours], before[theirs])
    return found


def check_processes(saved: int, *, where: Path) -> None:
    """Refuse to resume a run that another number of processes saved."""
    here = jax.process_count()
    if saved != here:
        raise ValueError(
            f"{where} holds a checkpoint of {saved} process(es), and this run has {here}: each "
            f"process keeps its own place in the data. Start {saved}, or use another --workdir"
        )


def check_same(
    names: Sequence[str],
    experiment: Experiment,
    stored: dict[str, Any],
    *,
    where: Path,
    advice: str = _ANEW,
) -> None:
    """Refuse a checkpoint of another experiment.

    Args:
      names: of the fields to compare.
      experiment: config of the run that would use the checkpoint.
      stored: config of the checkpoint.
      where: folder of the checkpoint.
      advice: what to do if they differ.
    """
    found = _all_differences(names, experiment, stored)
    if found:
        raise ValueError(
            f"{where} holds a checkpoint of another config: {_listed(found)}. {advice}"
        )


def _all_differences(
    names: Sequence[str], experiment: Experiment, stored: dict[str, Any]
) -> list[str]:
    ours = _as_stored(experiment)
    pairs = ((name, _field(ours, name), _field(stored, name)) for name in names)
    return [difference for pair in pairs for difference in _differences(*pair)]


def _listed(found: Sequence[str]) -> str:
    """Differences in one line; of many only the first."""
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(found[:_NAMED]) + more


def _as_stored(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a checkpoint keeps it: JSON, with lists for tuples."""
    content: dict[str, Any] = json.loads(json.dumps(to_dict(experiment)))
    return content


def _field(config: dict[str, Any], name: str) -> Any:
    return functools.reduce(lambda section, key: section.get(key, {}), name.split("."), config)


def _differences(name: str, ours: Any, theirs: Any) -> Iterator[str]:
    """Describe the fields in which two configs differ; of two model families only their names."""
    if isinstance(ours, dict) or isinstance(theirs, dict):
        # a missing section counts as empty, so that free fields may be added
        ours, theirs = ({} if value is _MISSING else value for value in (ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted(ours.keys() | theirs.keys())
        if ours.get("family") != theirs.get("family"):
            keys = ["family"]
        for key in keys:
            pair = ours.get(key, _MISSING), theirs.get(key, _MISSING)
            yield from _differences(f"{name}.{key}", *pair)
    elif ours != theirs and not (name.endswith(FREE) or name in _PLACES):
        there, here = ("missing" if value is _MISSING else repr(value) for value in (theirs, ours))
        yield f"{name} is {there} there and {here} here"
