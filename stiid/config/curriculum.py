"""The curriculum (Appendix D): stages of growing clips, and when a stage has done its work."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training with one clip length.

    Attributes:
      steps: updates at most.
      num_frames: frames T of each clip.
      batch_size: videos in a global batch, over all devices. Paper: 32 at 4 frames, falling in
        inverse proportion as T grows.
      micro_batches: parts, at most, into which each device splits its rows, computed one after the
        other before the one update: a part's memory for the whole batch's update, and on CPUs
        activations that stay in the cache (experiments/benchmarks/micro_batches.py). 1: no split.
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
        """Into how many equal parts a device splits so many rows."""
        return max(n for n in range(1, self.micro_batches + 1) if rows % n == 0)

    def __post_init__(self) -> None:
        """Refuse impossible sizes."""
        sizes = {"steps": 0, "num_frames": 1, "batch_size": 1, "micro_batches": 1}
        for name, least in sizes.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


def growing_clips() -> dict[str, Stage]:
    """The paper's curriculum: longer and longer clips. The steps of each stage are ours.

    The batch of 32 at 4 frames "falls in proportion": 8 is as low as 8 devices allow.
    """
    sizes = ((4, 32, 60_000), (8, 16, 40_000), (16, 8, 40_000), (24, 8, 30_000), (40, 8, 30_000))
    return {
        f"stage_{i}": Stage(num_frames=frames, batch_size=batch, steps=steps)
        for i, (frames, batch, steps) in enumerate(sizes)
    }


@dataclass(frozen=True, kw_only=True)
class Stagnation:
    """When to end a stage before its steps are over: "stagnant loss or posterior collapse".

    Attributes:
      window: steps over which loss and KL are averaged; 0 lets every stage run its full length.
      min_improvement: a stage ends when the mean loss of a window is not lower than that of the
        window before by this fraction of its magnitude.
      collapse_kl: a stage ends when the mean KL of a window (nats per video and frame, summed
        over slots) falls below this.
      patience: a stage ends when the loss on the evaluation's clips has not been lower than ever
        before in so many evaluations in a row (R-NEM: 10); 0 never ends a stage, and saves that
        pass.
    """

    window: int = 2000
    min_improvement: float = 0.002
    collapse_kl: float = 1.0
    patience: int = 0

    def __post_init__(self) -> None:
        """Refuse a negative window or patience, and what is no number."""
        for name in ("min_improvement", "collapse_kl"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        for name in ("window", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Watch:
    """Follows loss and KL of a stage; its state is a plain dict, saved with the checkpoint."""

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
        """Take one step's loss and KL; sets ``verdict`` ("stagnant", "collapsed") when done."""
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
        """Take the loss on held-out clips; sets ``verdict`` ("no better") when done."""
        self._validation.append(loss)
        best = min(range(len(self._validation)), key=lambda i: _or_inf(self._validation[i]))
        if len(self._validation) - 1 - best >= self._rule.patience:
            self.verdict = "no better"

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to go on exactly."""
        return {
            "losses": list(self._losses),
            "kls": list(self._kls),
            "previous": self._previous,
            "validation": list(self._validation),
            "verdict": self.verdict,
        }


def in_order(names: Iterable[str]) -> list[str]:
    """Names of stages in their order: by text, and by value where there are numbers."""

    def key(name: str) -> list[tuple[int, str]]:
        parts = re.split("([0-9]+)", name)
        return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]

    return sorted(names, key=key)


def _or_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value
