"""A weak check where no true masks exist: points that move together should share a slot.

*Not in the paper*; for Grand Central Station with its KLT tracks. Two tracks that stay close and
keep their offset are assumed to lie on one person, two tracks that move apart on two. The
assumption is rough, since tracks break, people walk side by side, and limbs swing. The scores
compare models; they are not accuracies.
"""

from typing import Any, NamedTuple

import numpy as np

from stiid import parallel
from stiid.config.experiment import Evaluate
from stiid.data.source import Source
from stiid.evaluation.rollout import Rollout, evaluation_clips
from stiid.models.base import VideoModel
from stiid.shapes import Params

# Thresholds: distances in pixels of the clip, and frames in which both points are seen.
_NEAR, _STILL, _APART, _MIN_FRAMES = 12.0, 1.5, 6.0, 5


class PairCounts(NamedTuple):
    """Sums over pairs of tracks, and what slots of the same sizes would give by chance."""

    same: float = 0.0  # pairs that move together
    same_together: float = 0.0  # of these, pairs in one slot
    same_chance: float = 0.0
    different: float = 0.0  # pairs that move apart
    different_apart: float = 0.0  # of these, pairs in two slots
    different_chance: float = 0.0


def count_pairs(tracks: np.ndarray, slots: np.ndarray) -> PairCounts:
    """Count all pairs of tracks of a clip.

    A pair counts by the fraction of its frames: 0.7 if both points share a slot in 70 % of the
    frames in which both are seen. Chance is the agreement of points that are assigned to slots at
    random, to each slot with its fraction of all points.

    Args:
      tracks: [n, T, 2] (column, row) in pixels, NaN where a point is not seen.
      slots: integers [T, H, W], the most probable slot of each pixel.
    """
    seen = ~np.isnan(tracks).any(-1)
    if not seen.any():
        return PairCounts()
    # A point at the far edge may have been rounded up to the size of the image.
    last = np.array([slots.shape[2] - 1, slots.shape[1] - 1])
    places = np.minimum(np.where(seen[..., None], tracks, 0).astype(int), last)
    columns, rows = np.moveaxis(places, -1, 0)
    owner = slots[np.arange(slots.shape[0]), rows, columns]  # [n, T]
    shares = np.bincount(owner[seen]) / seen.sum()
    by_chance = float((shares**2).sum())
    counts = np.zeros(len(PairCounts._fields))
    for first in range(len(tracks) - 1):
        both = seen[first] & seen[first + 1 :]  # [m, T]
        frames = np.maximum(both.sum(1), 1)
        gap = np.where(both[..., None], tracks[first] - tracks[first + 1 :], 0.0)
        center = gap.sum(1) / frames[:, None]
        offset = np.linalg.norm(gap - center[:, None], axis=-1)
        spread = np.where(both, offset, 0.0).max(1)
        judged = both.sum(1) >= _MIN_FRAMES
        same = judged & (spread <= _STILL) & (np.linalg.norm(center, axis=-1) <= _NEAR)
        different = judged & (spread >= _APART)
        together = (both & (owner[first] == owner[first + 1 :])).sum(1) / frames
        counts += [
            same.sum(),
            together[same].sum(),
            same.sum() * by_chance,
            different.sum(),
            (1 - together[different]).sum(),
            different.sum() * (1 - by_chance),
        ]
    return PairCounts(*counts.tolist())


def motion_check(
    settings: Evaluate, system: VideoModel, source: Source, params: Params
) -> dict[str, Any]:
    """Fractions of pairs that the slots get right, over the clips that the evaluation scores.

    Args:
      settings: which clips, how many frames, slots, noise and seed.
      system: the model with its test-time inference.
      source: clips with ``tracks``.
      params: of the model.

    Returns:
      For "same_motion" and "different_motion": pairs, right and by_chance (None without pairs).
    """
    rollout = Rollout(settings, system, num_simulated=0)
    frames = max(settings.lengths)
    counts = np.zeros(len(PairCounts._fields))
    what = "Comparing slots with tracks"
    for clips, valid in evaluation_clips(settings, source, num_frames=frames, what=what):
        slots = rollout(params, clips.video, clips.rows).masks.argmax(2)
        for row in np.flatnonzero(valid):
            tracks = source[int(clips.rows[row])]["tracks"][:, :frames]
            counts += count_pairs(tracks, np.asarray(slots[row]))
    total = PairCounts(*parallel.over_processes(counts).sum(0).tolist())
    return {
        "same_motion": _shares(total.same, total.same_together, total.same_chance),
        "different_motion": _shares(total.different, total.different_apart, total.different_chance),
    }


def _shares(pairs: float, right: float, chance: float) -> dict[str, float | None]:
    return {
        "pairs": pairs,
        "right": right / pairs if pairs else None,
        "by_chance": chance / pairs if pairs else None,
    }
