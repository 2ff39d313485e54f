"""The curriculum (Appendix D): stages with longer and longer clips, and when a stage ends early."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training with one clip length.

    Attributes:
      steps: maximum number of updates.
      num_frames: frames T of each clip.
      batch_size: videos in a global batch, over all devices. Paper: 32 at 4 frames, decreasing in
        inverse proportion as T grows.
      micro_batches: maximum number of parts into which each device splits its rows. Parts are
        computed one after the other, followed by one update. This takes the memory of one part,
        and on CPUs activations stay in the cache (experiments/benchmarks/micro_batches.py). 1
        does not split.
      model: fields of the model that differ in this stage, section by section, such as
        {"inference": {"refinements": 3}, "objective": {"psi": 0.1}}.
      optim: fields of ``config.optimizer.Optim`` that differ in this stage.
    """

    steps: int
    num_frames: int
    batch_size: int
    micro_batches: int = 1
    model: Mapping[str, Any] = field(default_factory=dict)
    optim: Mapping[str, Any] = field(default_factory=dict)

    def parts(self, rows: int) -> int:
        """Largest number of equal parts, at most ``micro_batches``, that divides ``rows``."""
        return max(n for n in range(1, self.micro_batches + 1) if rows % n == 0)

    def __post_init__(self) -> None:
        """Validate the sizes."""
        sizes = {"steps": 0, "num_frames": 1, "batch_size": 1, "micro_batches": 1}
        for name, least in sizes.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


def growing_clips() -> dict[str, Stage]:
    """The paper's curriculum of longer and longer clips; the steps of each stage are ours.

    The batch size decreases in proportion from 32 at 4 frames, but not below 8, the number of
    devices.
    """
    sizes = ((4, 32, 60_000), (8, 16, 40_000), (16, 8, 40_000), (24, 8, 30_000), (40, 8, 30_000))
    return {
        f"stage_{i}": Stage(num_frames=frames, batch_size=batch, steps=steps)
        for i, (frames, batch, steps) in enumerate(sizes)
    }


@dataclass(frozen=True, kw_only=True)
class Stagnation:
    """Criteria for ending a stage early: "stagnant loss or posterior collapse", as the paper says.

    Attributes:
      window: steps over which loss and KL are averaged; 0 turns off the next two criteria.
      min_improvement: a stage ends if the mean loss of a window is not lower than that of the
        previous window by this fraction of its magnitude.
      collapse_kl: a stage ends if the mean KL of a window (nats per video and frame, summed
        over slots) falls below this.
      patience: a stage ends if the loss on the evaluation's clips has not reached a new minimum
        in this many evaluations in a row (R-NEM: 10); 0 turns this off, and that loss is then not
        computed.
    """

    window: int = 2000
    min_improvement: float = 0.002
    collapse_kl: float = 1.0
    patience: int = 0

    def __post_init__(self) -> None:
        """Validate the fields."""
        for name in ("min_improvement", "collapse_kl"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        for name in ("window", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Watch:
    """Monitor of a stage's loss and KL; its state is a plain dict, saved with the checkpoint."""

    def __init__(self, rule: Stagnation, state: Mapping[str, Any] | None = None) -> None:
        self._rule = rule
        state = state or {}
        self._losses: list[float] = list(state.get("losses", []))
        self._kls: list[float] = list(state.get("kls", []))
        self._previous: float | None = state.get("previous")
        self._validation: list[float] = list(state.get("validation", []))
        self.verdict: str | None = state.get("verdict")

    @property
    def due(self) -> bool:
        """Whether the next step may bring a verdict."""
        return 0 < self._rule.window <= len(self._losses) + 1

    def observe(self, loss: float, kl: float) -> None:
        """Add one step's loss and KL; sets ``verdict`` ("stagnant", "collapsed") if it must end."""
        if self._rule.window == 0:
            return
        self._losses.append(loss)
        self._kls.append(kl)
        if len(self._losses) < self._rule.window:
            return
        mean = sum(self._losses) / len(self._losses)
        mean_kl = sum(self._kls) / len(self._kls)
        self._losses, self._kls = [], []
        if mean_kl < self._rule.collapse_kl:
            self.verdict = "collapsed"
        elif self._previous is not None and (
            self._previous - mean < self._rule.min_improvement * abs(self._previous)
        ):
            self.verdict = "stagnant"
        self._previous = mean

    def observe_validation(self, loss: float) -> None:
        """Add the loss on held-out clips; sets ``verdict`` ("no better") if the stage must end."""
        self._validation.append(loss)
        best = min(range(len(self._validation)), key=lambda i: _or_inf(self._validation[i]))
        if len(self._validation) - 1 - best >= self._rule.patience:
            self.verdict = "no better"

    def state(self) -> dict[str, Any]:
        """State with which a resumed run continues exactly."""
        return {
            "losses": list(self._losses),
            "kls": list(self._kls),
            "previous": self._previous,
            "validation": list(self._validation),
            "verdict": self.verdict,
        }


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names of stages by text, and by value where they contain numbers."""

    def key(name: str) -> list[tuple[int, str]]:
        parts = re.split("([0-9]+)", name)
        return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]

    return sorted(names, key=key)


def _or_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value
