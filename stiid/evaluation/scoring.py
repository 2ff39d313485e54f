"""Scores of predicted against true masks, as plain arrays."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from stiid.evaluation.boundary import region_scores
from stiid.evaluation.metrics import clip_scores, contingency, mean_best_overlap
from stiid.evaluation.totals import ScoreTotals
from stiid.evaluation.tracking import track_scores


def score_masks(predicted: Any, true_masks: Any) -> dict[str, float]:
    """Mean scores of predicted masks over clips.

    A clip without objects counts in none of the scores, nor does a frame without objects in those
    per frame; only ari_authors and f_ari_authors count all.

    Args:
      predicted: slots, integers [T, H, W] or [B, T, H, W]; or probabilities, floats [T, K, H, W] or
        [B, T, K, H, W], from which the most probable slot is taken.
      true_masks: integers [T, H, W] or [B, T, H, W], 0 is the background.

    Returns:
      The scores of ``clip_totals``, as means, and the numbers of ``clips`` and
      ``clips_with_objects``. NaN if no clip has objects.

    Raises:
      ValueError: shapes or types do not fit.
    """
    return means_and_counts(clip_totals(predicted, true_masks))


def means_and_counts(totals: ScoreTotals) -> dict[str, float]:
    """Means, and the numbers of clips: see ``score_masks``."""
    return {
        **totals.mean(),
        "clips": totals.count,
        "clips_with_objects": totals.with_objects or 0,
    }


def clip_totals(predicted: Any, true_masks: Any) -> ScoreTotals:
    """Sums of scores over clips; arguments and errors as of ``score_masks``.

    ========================= ======================================================================
    ari, f_ari, miou, recall, ``metrics.clip_scores``; ari, f_ari, miou and recall are of whole
    ari_frame, f_ari_frame,   clips, the next four are means over frames
    ari_authors, f_ari_authors,
    slot_switches
    mbo                       ``metrics.mean_best_overlap`` of whole clips
    mota, idf1, id_switches   ``tracking.track_scores``
    j, f                      ``boundary.region_scores``
    ========================= ======================================================================
    """
    slots, true_masks = _checked(predicted, true_masks)
    # Numbers are arbitrary labels, for instance 24-bit colors, so they are renumbered.
    ids, slots = _renumbered(true_masks, keep_zero=True), _renumbered(slots)
    counts = contingency(
        ids, jnp.asarray(slots), num_ids=int(ids.max()) + 1, num_slots=int(slots.max()) + 1
    )
    table = np.asarray(counts)
    scores: dict[str, Any] = dict(clip_scores(table, np.zeros(slots.shape[:2]), length=len(ids[0])))
    del scores["mse"]  # of masks alone, there is none
    regions = [region_scores(*clip) for clip in zip(slots, ids, strict=True)]
    scores |= {
        "mbo": mean_best_overlap(table.sum(1)),
        **track_scores(table)._asdict(),
        "j": [region.j for region in regions],
        "f": [region.f for region in regions],
    }
    return ScoreTotals.from_clips(scores, np.ones(len(ids), np.bool_))


def _checked(predicted: Any, true_masks: Any) -> tuple[np.ndarray, np.ndarray]:
    """Slots and true masks [B, T, H, W]."""
    slots, true_masks = slots_of(predicted), np.asarray(true_masks)
    if not np.issubdtype(true_masks.dtype, np.integer) or true_masks.ndim not in (3, 4):
        raise ValueError(
            "true_masks must be integers [T, H, W] or [B, T, H, W], 0 the background, got "
            f"{true_masks.dtype} {list(true_masks.shape)}"
        )
    if slots.shape != true_masks.shape:
        raise ValueError(
            f"predicted masks {list(slots.shape)} and true_masks {list(true_masks.shape)} must "
            "have the same shape: give true masks of the same frames in the same size"
        )
    if not slots.size:
        raise ValueError(f"masks of shape {list(slots.shape)} have no pixels: give some frames")
    for name, array in (("slots", slots), ("true_masks", true_masks)):
        if array.min() < 0:
            raise ValueError(f"{name} must not be negative, got {array.min()}")
    return (slots, true_masks) if slots.ndim == 4 else (slots[None], true_masks[None])


def _renumbered(labels: np.ndarray, *, keep_zero: bool = False) -> np.ndarray:
    """Labels renamed to 0, 1, … in their order; 0 remains 0 also where it does not occur."""
    known = np.unique(np.append(labels.ravel(), 0) if keep_zero else labels)
    return np.searchsorted(known, labels).astype(np.int32)


def slots_of(predicted: Any) -> np.ndarray:
    """The slot of each pixel, integers [T, H, W] or [B, T, H, W], as ``score_masks`` takes them."""
    array = np.asarray(predicted)
    if np.issubdtype(array.dtype, np.integer) and array.ndim in (3, 4):
        return array
    if np.issubdtype(array.dtype, np.floating) and array.ndim in (4, 5):
        return array.argmax(-3)
    raise ValueError(
        "predicted masks must be slots, integers [T, H, W] or [B, T, H, W], or probabilities, "
        f"floats [T, K, H, W] or [B, T, K, H, W], got {array.dtype} {list(array.shape)}"
    )
