"""The scores of R-NEM's own evaluation, for comparison."""

from typing import Any, NamedTuple

import numpy as np


class GroupingScores(NamedTuple):
    """Means over the scored frames, of each clip; "last" is the last frame alone."""

    score: np.ndarray  # [B] adjusted Rand index
    score_last: np.ndarray  # [B]
    confidence: np.ndarray  # [B] largest share of a foreground pixel
    confidence_last: np.ndarray  # [B]


def rnem_ari(table: Any) -> np.ndarray:
    """R-NEM's adjusted Rand index of frames.

    Pairs are counted as n (n − 1) among foreground pixels; the expected index has 1e-6 added to its
    divisor, and the denominator is clipped to [1e-6, 1e6]. So a frame without foreground scores 0
    where ``metrics.adjusted_rand_index`` scores 1. (In float32, which the original computes in, the
    1e-6 is lost and a frame with one object in one slot scores 0 too; here it scores 1.)

    Args:
      table: integer counts [..., N, K] of ``metrics.contingency``; row 0, the background, is left
        out.

    Returns:
      float64 [...].
    """
    counts = np.asarray(table)[..., 1:, :].astype(np.float64)

    def pairs(count: np.ndarray) -> np.ndarray:
        return count * (count - 1.0)

    index = pairs(counts).sum((-2, -1))
    objects, slots = pairs(counts.sum(-1)).sum(-1), pairs(counts.sum(-2)).sum(-1)
    expected = objects * slots / (pairs(counts.sum((-2, -1))) + 1e-6)
    return (index - expected) / np.clip((objects + slots) / 2.0 - expected, 1e-6, 1e6)


def grouping_scores(table: Any, shares: Any, true_ids: Any) -> GroupingScores:
    """Scores of frames 1 … T − 1; frame 0, whose responsibilities are random, is left out.

    Args:
      table: [B, T, N, K] integer counts of ``metrics.contingency``, T at least 2.
      shares: γ [B, T, K, H, W].
      true_ids: [B, T, H, W], 0 = background. A frame without foreground has confidence 0.
    """
    ari = rnem_ari(table)[:, 1:]
    foreground = np.asarray(true_ids)[:, 1:] > 0
    largest = np.asarray(shares, np.float64)[:, 1:].max(2)
    pixels = np.maximum(foreground.sum((-2, -1)), 1)
    confidence = (largest * foreground).sum((-2, -1)) / pixels
    return GroupingScores(ari.mean(1), ari[:, -1], confidence.mean(1), confidence[:, -1])
