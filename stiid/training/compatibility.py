"""Check that a config fits the checkpoint that it is applied to."""

import functools
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from stiid.config.curriculum import in_order
from stiid.config.experiment import Experiment
from stiid.data.options import PLACES
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


def training_fields(experiment: Experiment) -> tuple[str, ...]:
    """Fields that a resumed run may not change: all that decide the next step, except stages."""
    return TRAINING + (PATIENCE if experiment.train.stagnation.patience else ())


def check_begun(begun: int, experiment: Experiment, stored: dict[str, Any], *, where: Path) -> None:
    """Refuse to resume if a stage that has begun was changed; later stages may change.

    Args:
      begun: number of stored stages that have begun, including the current one.
      experiment: config of the run that would resume.
      stored: config of the checkpoint.
      where: folder of the checkpoint.
    """
    stages = _as_stored(experiment)["train"]["stages"]
    before = stored["train"]["stages"]
    for ours, theirs in itertools.zip_longest(in_order(stages)[:begun], in_order(before)[:begun]):
        if ours != theirs:
            raise ValueError(
                f"{where} has trained the stage {theirs}, and the config has "
                f"{ours or 'no further one'} in its place. {_ANEW}"
            )
        difference = _difference(f"train.stages.{ours}", stages[ours], before[theirs])
        if difference:
            raise ValueError(_of_another_config(where, difference, _ANEW))


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
    ours = _as_stored(experiment)
    for name in names:
        difference = _difference(name, _field(ours, name), _field(stored, name))
        if difference:
            raise ValueError(_of_another_config(where, difference, advice))


def _as_stored(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a checkpoint keeps it: JSON, with lists for tuples."""
    content: dict[str, Any] = json.loads(json.dumps(to_dict(experiment)))
    return content


def _of_another_config(where: Path, difference: str, advice: str) -> str:
    return f"{where} holds a checkpoint of another config: {difference}. {advice}"


def _field(config: dict[str, Any], name: str) -> Any:
    return functools.reduce(lambda section, key: section.get(key, {}), name.split("."), config)


def _difference(name: str, ours: Any, theirs: Any) -> str | None:
    """Describe the first field in which two configs differ; the model family is compared first."""
    if isinstance(ours, dict) or isinstance(theirs, dict):
        # a missing section counts as empty, so that free fields may be added
        ours, theirs = ({} if value is _MISSING else value for value in (ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys(), key=lambda key: (key != "family", key)):
            pair = ours.get(key, _MISSING), theirs.get(key, _MISSING)
            found = _difference(f"{name}.{key}", *pair)
            if found:
                return found
        return None
    if name.endswith(FREE) or name in _PLACES:
        return None
    if ours == theirs:
        return None
    there, here = ("missing" if value is _MISSING else repr(value) for value in (theirs, ours))
    return f"{name} is {there} there and {here} here"
