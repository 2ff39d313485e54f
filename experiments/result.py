"""Tables and figures: rows of trained models and their measurements."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.config_files import load_config
from stiid.training.compatibility import FREE, PATIENCE, TRAINING
from stiid.training.migration import without_later

SCALES = ("paper", "small")
# Sections of a config that decide what is learned, and what is measured; every seed has its own
# folder. The name of data is made of their options, since another ``data.options.path`` may be
# other data.
_TRAINING = (*(name for name in TRAINING if name != "seed"), "train.stages")
_MEASURED = ("data.name", "data.max_frames", "data.options", "model", "evaluate", "predict")
_MEASURED_FREE = (*FREE, "evaluate.batch_size")
MODEL = "model"  # the part of a measurement that is about the model itself

Scores = Mapping[str, Mapping[str, float | None]]  # column → score → number
Changes = Mapping[str, Any]  # field of a config, such as "evaluate.num_slots" → value


class RequestError(ValueError):
    """The requested result cannot be made; nothing was run or written."""


class Program(NamedTuple):
    """A module that measures; it takes --config, --checkpoint and --workdir."""

    name: str
    command: tuple[str, ...]
    writes: str  # a JSON file in the workdir


EVALUATE = Program("eval", ("stiid.main", "--mode=eval"), "eval/metrics.json")
PREDICT = Program("predict", ("stiid.main", "--mode=predict"), "predict/metrics.json")
SIMULATE = Program("simulate", ("experiments.prediction",), "prediction.json")
WALK = Program("walk", ("experiments.latent_walk",), "latent_walk.json")


@dataclass(frozen=True, kw_only=True)
class Training:
    """A model to train, once per seed; rows of all results share equal trainings.

    Attributes:
      config: value of ``--config``.
      changes: field → value.
    """

    config: str
    changes: Changes = field(default_factory=dict)

    def folder(self, seed: int) -> Path:
        """Name of its folder in the workdir, made of all that decides what is learned."""
        name = _name(self.config, self.changes, _deciding(self.config, self.changes), FREE)
        return Path(name) / f"seed_{seed}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A measurement of a trained model.

    Attributes:
      program: module that measures.
      config: value of ``--config``; None: that of the training.
      changes: field → value, in addition to the changes of the training.
    """

    program: Program
    config: str | None = None
    changes: Changes = field(default_factory=dict)

    def folder(self, training: Training, seed: int) -> Path:
        """Name of its folder in that of the training, made of all that decides the numbers."""
        config, changes = self.config or training.config, {**training.changes, **self.changes}
        name = _name(config, changes, _MEASURED, _MEASURED_FREE)
        return training.folder(seed) / "measurements" / f"{self.program.name}-{name}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table, or a curve of a figure.

    Attributes:
      data: label of the data.
      model: label of the model.
      training: of the model.
      measurements: of the model; their scores are joined.
      paper: the paper's numbers.
      part: part of a measurement that covers more than the model, see ``prediction``.
    """

    data: str
    model: str
    training: Training
    measurements: tuple[Measurement, ...]
    paper: Scores = field(default_factory=dict)
    part: str = MODEL

    @property
    def name(self) -> str:
        """Name in the column "row" and for ``--only``."""
        return f"{self.data}/{self.model}".lower().replace(",", "").replace(" ", "_")


@dataclass(frozen=True, kw_only=True)
class PaperResult:
    """A table or figure at one scale.

    Attributes:
      name: of the module, and of the files.
      title: of the Markdown table.
      note: notes on the comparison with the paper.
      columns: of the table; keys of ``read``'s result.
      scores: of the table, with their labels.
      rows: see ``Row``.
      read: (row, contents of the files that its measurements wrote) → scores.
      draw: (stem of the files to write, records of the rows, folders of the first measurement of
        each row, None where it is missing) → written files; None if the result is a table.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    scores: Mapping[str, str]
    rows: tuple[Row, ...]
    read: Callable[[Row, Sequence[Mapping[str, Any]]], Scores]
    draw: Callable[[Path, Sequence[Mapping[str, Any]], Sequence[Path | None]], list[Path]] | None


def arguments(changes: Changes) -> list[str]:
    """Convert changes to command-line arguments."""
    return [f"--config.{name}={value}" for name, value in changes.items()]


def has_field(config: ConfigDict | None, name: str) -> bool:
    """Whether a config has a field, as in "train.log_every"."""
    node: Any = config
    for part in name.split("."):
        if not isinstance(node, ConfigDict) or part not in node:
            return False
        node = node[part]
    return True


def _name(config: str, changes: Changes, fields: tuple[str, ...], free: tuple[str, ...]) -> str:
    """Readable, unique name of a config and its changes; fields without effect do not count."""
    stem = f"{Path(config.partition(':')[0]).stem}-{config.partition(':')[2]}".rstrip("-")
    sections = tuple(f"{name}." for name in fields)
    deciding = {
        name: str(changes[name])
        for name in sorted(changes)
        if (name in fields or name.startswith(sections)) and not name.endswith(free)
    }
    text = json.dumps([_content(config, fields, free), deciding])
    return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _deciding(config: str, changes: Changes) -> tuple[str, ...]:
    """The fields of a changed config that decide what is learned."""
    patience = changes.get("train.stagnation.patience", _patience(config))
    return _TRAINING + (PATIENCE if str(patience) != "0" else ())


@functools.cache
def _patience(config: str) -> int:
    """Value of ``train.stagnation.patience``; 0: held-out loss does not end stages."""
    return load_config(config).train.stagnation.patience


@functools.cache
def _content(config: str, fields: tuple[str, ...], free: tuple[str, ...]) -> str:
    """Values of these fields in a config."""
    picked = _picked(load_config(config).to_dict(), fields)
    return json.dumps(_without(free, without_later(picked)), sort_keys=True)


def _picked(content: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Reduce a config to these fields, such as "train.stages"."""
    picked: dict[str, Any] = {}
    for name in fields:
        *sections, leaf = name.split(".")
        there, here = content, picked
        for section in sections:
            there, here = there[section], here.setdefault(section, {})
        here[leaf] = there[leaf]
    return picked


def _without(free: tuple[str, ...], content: Any, prefix: str = "") -> Any:
    """Remove the fields whose names end with one of these from a config."""
    if not isinstance(content, dict):
        return content
    kept = {key: value for key, value in content.items() if not f"{prefix}{key}".endswith(free)}
    return {key: _without(free, value, f"{prefix}{key}.") for key, value in kept.items()}
