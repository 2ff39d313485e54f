"""The base of all options; each class of options stands beside the code that it switches."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all options of inference, the flat section ``model.inference`` of a config.

    A subclass checks its own fields in ``__post_init__`` after those of the classes before it.
    """

    def __post_init__(self) -> None:
        """End the chain of checks."""

    def _check_choice(self, name: str, allowed: tuple[str, ...]) -> None:
        if getattr(self, name) not in allowed:
            raise ValueError(
                f"inference.{name}: expected one of {allowed}, got {getattr(self, name)!r}"
            )

    def _check_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"inference.{name} must be positive, got {value}")

    def _check_finite(self, *names: str) -> None:
        for name in names:
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"inference.{name} must be finite, got {getattr(self, name)}")
