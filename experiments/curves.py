"""Rows of a training log, shortened for results."""

from collections.abc import Mapping
from typing import Any


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Round each number to five digits."""
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}


def in_minutes(row: Mapping[str, Any], *, begin: float) -> dict[str, Any]:
    """Round a row, and replace its time by the minutes since ``begin`` (seconds)."""
    minute = (row["time"] - begin) / 60
    return rounded({k: v for k, v in row.items() if k != "time"} | {"minute": minute})
