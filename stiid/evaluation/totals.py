"""Sums of scores over clips, from which means are taken."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stiid.evaluation.metrics import OBJECT_SCORES


@dataclass(frozen=True)
class ScoreTotals:
    """Sums of per-clip scores and numbers of clips, which merge over batches and processes.

    Attributes:
      sums: per score, over the clips for which it is defined.
      counts: per score, the number of these clips; for `OBJECT_SCORES`, the clips with objects.
      count: number of all clips.
    """

    sums: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    count: int = 0

    @classmethod
    def empty(cls) -> "ScoreTotals":
        """The neutral element of `merge`."""
        return cls()

    @classmethod
    def from_clips(cls, scores: Mapping[str, Any], valid: Any) -> "ScoreTotals":
        """Totals of `scores` [B] over the clips with `valid` [B] true; the others are padding."""
        valid = np.asarray(valid)
        if valid.ndim != 1 or valid.dtype != np.bool_:
            raise ValueError(f"valid must be bool [B], got {valid.dtype} {valid.shape}")
        sums, counts = {}, {}
        for name, given in scores.items():
            value = np.asarray(given, np.float64)
            if value.shape != valid.shape:
                raise ValueError(f"{name} must have shape {valid.shape}, got {value.shape}")
            # In other scores NaN means that the model diverged: the mean must show it.
            counted = valid & ~np.isnan(value) if name in OBJECT_SCORES else valid
            sums[name], counts[name] = float(value[counted].sum()), int(counted.sum())
        return cls(sums=sums, counts=counts, count=int(valid.sum()))

    def merge(self, other: "ScoreTotals") -> "ScoreTotals":
        """Totals of both; both must hold the same scores (or be empty)."""
        if self.sums and other.sums and set(self.sums) != set(other.sums):
            raise ValueError(f"cannot merge {sorted(self.sums)} with {sorted(other.sums)}")
        names = self.sums or other.sums
        return ScoreTotals(
            sums={name: self.sums.get(name, 0.0) + other.sums.get(name, 0.0) for name in names},
            counts={name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in names},
            count=self.count + other.count,
        )

    def mean(self) -> dict[str, float]:
        """Mean of each score over the clips for which it is defined; NaN if there are none."""
        if self.count == 0:
            raise ValueError("no clip was scored, so that there is no mean: score at least one")
        return {
            name: total / self.counts[name] if self.counts[name] else math.nan
            for name, total in self.sums.items()
        }

    @property
    def with_objects(self) -> int | None:
        """Number of clips over which `OBJECT_SCORES` are means; None without such scores."""
        return next((self.counts[name] for name in OBJECT_SCORES if name in self.counts), None)
