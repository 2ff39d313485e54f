"""Adam with gradient clipping, and the learning-rate schedule of a stage."""

import math
from dataclasses import dataclass, replace

import optax


@dataclass(frozen=True, kw_only=True)
class Optim:
    """Hyper-parameters of the optimizer. The defaults are the paper's.

    Attributes:
      learning_rate: at the start of a stage (after the warm-up).
      final_learning_rate: at the end of the stage's steps, reached along a half cosine.
      warmup_steps: linear warm-up from zero at the start of each stage.
      clip_norm: maximum global norm of the gradient; the default is that of the implementation on
        which the paper builds.
      beta1: Adam's decay rate of the mean gradient.
    """

    learning_rate: float = 3e-4
    final_learning_rate: float = 3e-4
    warmup_steps: int = 0
    clip_norm: float = 5.0
    beta1: float = 0.9

    def __post_init__(self) -> None:
        """Validate the fields."""
        for name in ("learning_rate", "final_learning_rate"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"optim.{name} must be finite and not negative, got {getattr(self, name)}"
                )
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"optim.final_learning_rate = {self.final_learning_rate} exceeds learning_rate = "
                f"{self.learning_rate}: lower it, since the rate decreases within a stage"
            )
        if self.warmup_steps < 0:
            raise ValueError(f"optim.warmup_steps must not be negative, got {self.warmup_steps}")
        if not self.clip_norm > 0.0:
            raise ValueError(
                f"optim.clip_norm must be positive, got {self.clip_norm}: to turn clipping off, "
                "set it to 1e30"
            )
        if not 0.0 <= self.beta1 < 1.0:
            raise ValueError(f"optim.beta1 must lie in [0, 1), got {self.beta1}")


def transformation(optim: Optim) -> optax.GradientTransformation:
    """Build clipping, then Adam; the caller multiplies the result by minus the learning rate."""
    return optax.chain(
        optax.clip_by_global_norm(optim.clip_norm), optax.scale_by_adam(b1=optim.beta1)
    )


def without_rates(optim: Optim) -> Optim:
    """Copy without the fields of ``schedule``: what ``transformation`` depends on."""
    return replace(optim, learning_rate=0.0, final_learning_rate=0.0, warmup_steps=0)


def schedule(optim: Optim, *, steps: int) -> optax.Schedule:
    """Learning rate of each step (from 0) of a stage: a linear warm-up, then a half cosine."""
    rate, warmup_steps = optim.learning_rate, optim.warmup_steps
    share = optim.final_learning_rate / rate if rate else 1.0
    cosine = optax.cosine_decay_schedule(rate, max(steps - warmup_steps, 1), alpha=share)
    if not warmup_steps:
        return cosine
    warmup = optax.linear_schedule(rate / warmup_steps, rate, warmup_steps - 1)
    return optax.join_schedules([warmup, cosine], [warmup_steps])
