"""Scores of predicted against true masks, as plain arrays."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from stiid.evaluation.metrics import clip_scores, contingency


def score_masks(predicted: Any, true_masks: Any) -> dict[str, float]:
    """Mean scores of predicted masks over clips.

    Args:
      predicted: slots, integers [T, H, W] or [B, T, H, W]; or probabilities, floats [T, K, H, W] or
        [B, T, K, H, W], from which the most probable slot is taken.
      true_masks: integers [T, H, W] or [B, T, H, W], 0 is the background.

    Returns:
      ``ari``, ``f_ari`` and ``miou`` of whole clips, ``ari_frame`` and ``f_ari_frame`` as means
      over frames, and the number of ``slot_switches``; see ``evaluation.metrics.clip_scores``.

    Raises:
      ValueError: shapes or types do not fit.
    """
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
    for name, array in (("slots", slots), ("true_masks", true_masks)):
        if array.size and array.min() < 0:
            raise ValueError(f"{name} must not be negative, got {array.min()}")
    if slots.ndim == 3:
        slots, true_masks = slots[None], true_masks[None]
    # Ids are arbitrary labels, for instance 24-bit colors, so they are renumbered.
    _, ids = np.unique(np.append(true_masks.ravel(), 0), return_inverse=True)
    ids = ids[:-1].reshape(true_masks.shape)
    table = contingency(
        ids, jnp.asarray(slots), num_ids=int(ids.max()) + 1, num_slots=int(slots.max()) + 1
    )
    frames = slots.shape[1]
    scores = clip_scores(np.asarray(table), np.zeros(slots.shape[:2]), length=frames)
    return {name: float(value.mean()) for name, value in scores.items() if name != "mse"}


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
