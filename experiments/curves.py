"""Lines of a training's log as results keep them."""

from collections.abc import Mapping
from typing import Any


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Five digits of each number."""
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}


def in_minutes(row: Mapping[str, Any], *, begin: float) -> dict[str, Any]:
    """A row with its minute since ``begin``, in seconds, instead of the time of day; rounded."""
    minute = (row["time"] - begin) / 60
    return rounded({k: v for k, v in row.items() if k != "time"} | {"minute": minute})
