"""Splits of generated data: their names, numbers of clips, and random numbers."""

import numpy as np

SPLITS = ("train", "validation", "test")  # the position is part of every clip's seed


def clip_rng(seed: int, split: str, index: int, *purpose: int) -> np.random.Generator:
    """Random generator of one clip of a split, or of one purpose within that clip."""
    key = (SPLITS.index(split), index, *purpose)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Counts:
    """Mixin for a dataclass of options with the fields `train`, `validation` and `test`."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips per split; a split of 0 clips does not exist."""
        return {split: getattr(self, split) for split in SPLITS}

    def check_counts(self) -> None:
        """Refuse negative numbers of clips, and sets without any clip."""
        counts = tuple(self.counts.values())
        if min(counts) < 0 or max(counts) == 0:
            raise ValueError(f"{SPLITS} must not be negative nor all be 0, got {counts}")
