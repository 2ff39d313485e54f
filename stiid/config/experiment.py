"""An experiment: the typed form of a config file, section by section.

Defaults are the paper's on Bouncing Balls in color; a config file lists what differs.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stiid.config.curriculum import Stage, Stagnation, growing_clips, in_order
from stiid.config.optimizer import Optim
from stiid.data import registry
from stiid.models.base import NOISE, Decoding
from stiid.models.ddpae.model import DdpaeConfig
from stiid.models.rnem.model import RnemConfig
from stiid.models.savi.config import SaviConfig
from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.typed_config import override

NON_FINITE = ("stop", "skip")
BEST_METRICS = ("ari", "f_ari", "ari_frame", "f_ari_frame", "miou", "recall", "mse")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Source of the videos.

    Attributes:
      name: of a source in ``stiid.data.registry``.
      data_dir: folder of prepared data sets; created on first use.
      max_frames: training clips are taken from the first ``max_frames`` frames; 0 means all.
      pieces: training clips start at multiples of their length only (*authors' code*).
      options: of the source: fields of its spec, see ``stiid.data.registry``.
    """

    name: str
    data_dir: str = "~/.cache/stiid"
    max_frames: int = 40
    pieces: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Complete and check the options."""
        spec = registry.make_spec(self.name, **self.options)
        options = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.init}
        object.__setattr__(self, "options", options)
        if self.max_frames < 0:
            raise ValueError(f"max_frames must not be negative, got {self.max_frames}: 0 means all")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Length of training, intervals of logs and checkpoints, and what to do about NaN.

    Attributes:
      stages: the curriculum, run in the order of their names (stage_2 before stage_10).
      stagnation: when a stage may end early.
      log_every: steps between lines of the metric log.
      eval_every: steps between evaluations.
      checkpoint_every: steps between checkpoints (one is also saved at each evaluation, at the
        end, and on SIGTERM).
      best_metric: score of the evaluation; the checkpoint with the largest (for "mse" the
        smallest) is kept. Data without true masks have only "mse".
      non_finite: what to do if the loss, the gradient or the new parameters are not finite: "stop"
        with a report (the update is not applied), or "skip" the update and count it.
      max_skips: maximum number of updates skipped in a row; one more stops training.
    """

    stages: Mapping[str, Stage] = field(default_factory=growing_clips)
    stagnation: Stagnation = field(default_factory=Stagnation)
    log_every: int = 50
    eval_every: int = 5000
    checkpoint_every: int = 1000
    best_metric: str = "f_ari"
    non_finite: str = "stop"
    max_skips: int = 50

    @property
    def order(self) -> list[str]:
        """Names of the stages in the order in which they are run."""
        return in_order(self.stages)

    def __post_init__(self) -> None:
        """Validate the fields."""
        if not self.stages:
            raise ValueError("train.stages is empty: training needs at least one stage")
        if self.non_finite not in NON_FINITE:
            raise ValueError(
                f"train.non_finite: expected one of {NON_FINITE}, got {self.non_finite!r}"
            )
        if self.best_metric not in BEST_METRICS:
            raise ValueError(
                f"train.best_metric: expected one of {BEST_METRICS}, got {self.best_metric!r}"
            )
        for name in ("log_every", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        if self.max_skips < 0:
            raise ValueError(f"train.max_skips must not be negative, got {self.max_skips}")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Clips, lengths, slots and noise of the evaluation.

    Attributes:
      split: of the data.
      clips: the first ``clips`` of the split are scored; 0 means all.
      batch_size: most clips at a time, over all devices; CPUs take four each.
      lengths: numbers of frames to score, increasing; one pass over the longest gives them all. The
        scores at the shortest length decide which checkpoint is the best. () means half and all of
        the frames of a clip (``data.options.frames``).
      num_slots: K at test; 0 means as in training.
      model: fields of the model that differ at test, such as {"inference": {"refinements": 6}}.
        Overrides by stages do not apply at test.
      noise: see ``models.base.Decoding``.
      restarts: see ``models.base.Decoding``. No labels are used. *Not in the paper.*
      restart_frames: see ``models.base.Decoding``. Two objects in one slot may cost little in frame
        0, and more once they move apart.
      seed: of the noise. A clip's noise depends on the seed and its number only.
    """

    split: str = "validation"
    clips: int = 512
    batch_size: int = 64
    lengths: tuple[int, ...] = (10, 20, 30, 40)
    num_slots: int = 0
    model: Mapping[str, Any] = field(default_factory=dict)
    noise: str = "first"
    restarts: int = 1
    restart_frames: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate the fields."""
        if self.noise not in NOISE:
            raise ValueError(f"evaluate.noise: expected one of {NOISE}, got {self.noise!r}")
        ordered = sorted(set(self.lengths))
        if list(self.lengths) != ordered or min(self.lengths, default=1) < 1:
            raise ValueError(
                "evaluate.lengths: expected positive lengths in increasing order, "
                f"got {self.lengths}"
            )
        if "num_slots" in self.model:
            raise ValueError("evaluate.model.num_slots: set evaluate.num_slots instead")
        if self.clips < 0:
            raise ValueError(f"evaluate.clips must not be negative, got {self.clips}: 0 means all")
        if self.num_slots < 0:
            raise ValueError(
                f"evaluate.num_slots must not be negative, got {self.num_slots}: 0 means as in "
                "training"
            )
        for name in ("batch_size", "restarts", "restart_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"evaluate.{name} must be at least 1, got {getattr(self, name)}")

    @property
    def decoding(self) -> Decoding:
        """Slots and noise in the form that models take."""
        return Decoding(
            num_slots=self.num_slots,
            noise=self.noise,
            restarts=self.restarts,
            restart_frames=self.restart_frames,
        )


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Clips and frames of ``--mode=predict``; slots and noise are those of ``Evaluate``.

    Attributes:
      clips: number of clips to animate.
      num_observed: frames n to infer.
      num_simulated: frames m to simulate after them (section 3.2.3).
    """

    clips: int = 8
    num_observed: int = 20
    num_simulated: int = 10

    def __post_init__(self) -> None:
        """Validate the fields."""
        for name, least in {"clips": 1, "num_observed": 1, "num_simulated": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(
                    f"predict.{name} must be at least {least}, got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All sections of a config file.

    Attributes:
      seed: of the initial parameters, the order of the data, and all noise in training.
      data: see ``Data``.
      model: a ``models.base.ModelConfig``; its field ``family`` selects the class.
      optim: see ``config.optimizer.Optim``.
      train: see ``Train``.
      evaluate: see ``Evaluate``.
      predict: see ``Predict``.
    """

    seed: int = 0
    data: Data
    model: SpatioTemporalConfig | RnemConfig | DdpaeConfig | SaviConfig = field(
        default_factory=SpatioTemporalConfig
    )
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)
    predict: Predict = field(default_factory=Predict)

    def __post_init__(self) -> None:
        """Set K and lengths at test, and apply every override once, so that typos are found now."""
        if not self.evaluate.num_slots:
            evaluate = dataclasses.replace(self.evaluate, num_slots=self.model.num_slots)
            object.__setattr__(self, "evaluate", evaluate)
        if not self.evaluate.lengths:
            frames = self.data.options.get("frames")
            if frames is None:
                raise ValueError("evaluate.lengths: name lengths, the data do not say theirs")
            lengths = tuple(sorted({max(1, frames // 2), frames}))
            evaluate = dataclasses.replace(self.evaluate, lengths=lengths)
            object.__setattr__(self, "evaluate", evaluate)
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        for name in self.train.stages:
            self._at(name)
        if isinstance(self._test_model(), DdpaeConfig) and len(self.evaluate.lengths) > 1:
            raise ValueError(
                "evaluate.lengths: expected one length for DDPAE, whose output depends on all "
                f"frames, got {self.evaluate.lengths}"
            )

    def at_stage(self, name: str) -> "Experiment":
        """Copy of the experiment with one stage only, whose overrides are applied."""
        model, optim = self._at(name)
        alone = dataclasses.replace(self.train.stages[name], model={}, optim={})
        train = dataclasses.replace(self.train, stages={name: alone})
        return dataclasses.replace(self, model=model, optim=optim, train=train)

    def at_test(self) -> "Experiment":
        """Copy of the experiment with the evaluation's overrides applied."""
        evaluate = dataclasses.replace(self.evaluate, model={})
        return dataclasses.replace(self, model=self._test_model(), evaluate=evaluate)

    def _at(self, name: str) -> tuple[Any, Optim]:
        stage, where = self.train.stages[name], f"train.stages.{name}"
        model = override(self.model, stage.model, f"{where}.model")
        return model, override(self.optim, stage.optim, f"{where}.optim")

    def _test_model(self) -> Any:
        return override(self.model, self.evaluate.model, "evaluate.model")
