"""An experiment: the typed form of a config file, and the only place that interprets one.

Every section of a config becomes the keyword arguments of one class. Nothing is optional and
nothing has a default, so that a config file is the whole truth: a missing or unknown field is an
error that names it. Configs are plain nested mappings here (``main`` turns a ``ConfigDict`` into
one), so that the same parser reads the copy that is stored in a checkpoint.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from stiid.curriculum import Stage, Stagnation
from stiid.model import Inference
from stiid.objective import Objective
from stiid.optim import Optim

NON_FINITE = ("stop", "skip")
EVAL_NOISE = ("first", "all")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where videos come from.

    Attributes:
      name: of a source in ``stiid.data.registry``.
      data_dir: folder of prepared data sets; created on first use.
      max_frames: training clips lie within the first so many frames. Paper: 40 of 50.
      options: of the source.
    """

    name: str
    data_dir: str
    max_frames: int
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Networks and inference.

    Attributes:
      latent_size: D. Paper: 64.
      num_slots: K in training.
      decoder: fields of ``nn.decoder.BroadcastDecoder`` (its image size comes from the data).
      refiner: fields of ``nn.refiner.Refiner``.
      prior: fields of ``nn.prior.ConditionalPrior``.
      inference: see ``model.Inference``.
    """

    latent_size: int
    num_slots: int
    decoder: Mapping[str, Any]
    refiner: Mapping[str, Any]
    prior: Mapping[str, Any]
    inference: Inference


@dataclass(frozen=True, kw_only=True)
class Train:
    """How long, how often, and what to do when it goes wrong.

    Attributes:
      stages: the curriculum, run in the order of their names.
      stagnation: when a stage may end early.
      log_every: steps between lines of the metric log.
      eval_every: steps between evaluations.
      checkpoint_every: steps between checkpoints (one is also saved at each evaluation, at the
        end, and on SIGTERM).
      best_metric: of the evaluation, larger is better: the best checkpoint is kept by it.
      non_finite: what an update with a non-finite loss or gradient does: "stop" with a report
        (the update is not applied), or "skip" it and count.
    """

    stages: Mapping[str, Stage]
    stagnation: Stagnation
    log_every: int
    eval_every: int
    checkpoint_every: int
    best_metric: str
    non_finite: str

    def __post_init__(self) -> None:
        """Refuse an unknown policy."""
        if self.non_finite not in NON_FINITE:
            raise ValueError(
                f"train.non_finite: expected one of {NON_FINITE}, got {self.non_finite!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """What evaluation measures.

    Attributes:
      split: of the data.
      clips: how many, from the first on; 0 means all.
      batch_size: clips at a time, over all devices.
      lengths: numbers of frames to score at, in one pass over the longest.
      num_slots: K at test.
      inference: fields of ``model.Inference`` that differ at test.
      noise: "first": z is sampled in frame 0 only, where slots must break their symmetry, and is
        the posterior mean afterwards and in every last decode; "all": sampled always.
      seed: of that noise. A clip's noise depends on the seed and its number only.
    """

    split: str
    clips: int
    batch_size: int
    lengths: tuple[int, ...]
    num_slots: int
    inference: Mapping[str, Any]
    noise: str
    seed: int

    def __post_init__(self) -> None:
        """Refuse an unknown kind of noise and impossible lengths."""
        if self.noise not in EVAL_NOISE:
            raise ValueError(f"evaluate.noise: expected one of {EVAL_NOISE}, got {self.noise!r}")
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError(f"evaluate.lengths: expected positive lengths, got {self.lengths}")


@dataclass(frozen=True, kw_only=True)
class Predict:
    """What ``--mode=predict`` does, beside what ``Evaluate`` says of slots and noise.

    Attributes:
      clips: how many to animate.
      num_observed: frames n to infer.
      num_simulated: frames m to simulate after them (section 3.2.3).
    """

    clips: int
    num_observed: int
    num_simulated: int


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All sections of a config file.

    Attributes:
      seed: of the initial parameters, the order of the data, and all noise in training.
      data: see ``Data``.
      model: see ``ModelConfig``.
      objective: see ``objective.Objective``.
      optim: see ``optim.Optim``.
      train: see ``Train``.
      evaluate: see ``Evaluate``.
      predict: see ``Predict``.
    """

    seed: int
    data: Data
    model: ModelConfig
    objective: Objective
    optim: Optim
    train: Train
    evaluate: Evaluate
    predict: Predict

    def __post_init__(self) -> None:
        """Build every stage and the test-time procedure once, so that a typo stops the run now."""
        for name in self.train.stages:
            self.at_stage(name)
        self.at_test()

    def at_stage(self, name: str) -> "Experiment":
        """The experiment with a stage's overrides applied."""
        stage = self.train.stages[name]
        where = f"train.stages.{name}"
        return dataclasses.replace(
            self,
            model=dataclasses.replace(
                self.model,
                inference=override(self.model.inference, stage.inference, f"{where}.inference"),
            ),
            objective=override(self.objective, stage.objective, f"{where}.objective"),
            optim=override(self.optim, stage.optim, f"{where}.optim"),
            train=dataclasses.replace(self.train, stages={}),
        )

    def at_test(self) -> Inference:
        """The inference procedure with the evaluation's overrides applied."""
        changes = self.evaluate.inference
        return override(self.model.inference, changes, "evaluate.inference")


def parse(cls: type, section: Any, where: str = "config") -> Any:
    """Build a (nested) dataclass from a mapping.

    Raises:
      ValueError: a field is missing, unknown, or of the wrong type; the message names it.
    """
    if not isinstance(section, Mapping):
        raise ValueError(f"{where}: expected a section, got {section!r}")
    hints = get_type_hints(cls)
    missing, unknown = sorted(hints.keys() - section.keys()), sorted(section.keys() - hints.keys())
    if missing:
        raise ValueError(f"{where}: missing field(s) {', '.join(missing)}")
    if unknown:
        raise ValueError(
            f"{where}: unknown field(s) {', '.join(unknown)}; known: {', '.join(sorted(hints))}"
        )
    fields = {name: _value(hints[name], section[name], f"{where}.{name}") for name in hints}
    try:
        return cls(**fields)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def override(base: Any, changes: Mapping[str, Any], where: str) -> Any:
    """A copy of a dataclass with some fields replaced, checked like ``parse``."""
    fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    return parse(type(base), {**fields, **changes}, where)


def to_dict(value: Any) -> Any:
    """The inverse of ``parse``: nested plain dicts and lists, fit for JSON."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    return [to_dict(item) for item in value] if isinstance(value, list | tuple) else value


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check a value against a type hint, and turn JSON's lists into tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type, hint), value, where)
    if origin is types.UnionType:
        if value is None:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not ... and len(value) != len(arguments):
            raise ValueError(f"{where}: expected {len(arguments)} values, got {value!r}")
        return tuple(_value(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is not None and isinstance(value, Mapping):
        return {key: _value(arguments[1], value[key], f"{where}.{key}") for key in sorted(value)}
    if hint is Any:
        return tuple(value) if isinstance(value, list) else value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        not isinstance(hint, type)
        or not isinstance(value, hint)
        or (isinstance(value, bool) and hint is not bool)
    ):
        raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
    return value
