"""Linear regression of object properties on z: R² on held-out clips (appendix F.4).

Shapes: n samples, each a slot and its object in a frame; D latent dimensions.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

PROPERTIES = ("position", "color", "size")
DESCRIBED = {"positions", "colors", "radii"}  # fields that a clip must have


def linear_r2(z: np.ndarray, truth: np.ndarray, held_out: np.ndarray) -> float | None:
    """R² on held-out samples of a linear least-squares fit to the other samples.

    Args:
      z: [n, D].
      truth: [n, d]; R² is the mean over those of its columns that vary on both sides.
      held_out: bool [n].

    Returns:
      1 for a perfect fit, 0 if no better than the mean; None if nothing varies.
    """
    inputs = np.concatenate([z, np.ones((len(z), 1))], axis=1).astype(np.float64)
    truth = truth.astype(np.float64)
    varies = (np.ptp(truth[held_out], axis=0) > 0) & (np.ptp(truth[~held_out], axis=0) > 0)
    if not varies.any():
        return None
    truth = truth[:, varies]
    line, *_ = np.linalg.lstsq(inputs[~held_out], truth[~held_out], rcond=None)
    left = ((truth[held_out] - inputs[held_out] @ line) ** 2).sum(0)
    spread = ((truth[held_out] - truth[held_out].mean(0)) ** 2).sum(0)
    return float((1.0 - left / spread).mean())


def matched_slots(
    slots: np.ndarray, masks: np.ndarray, *, num_slots: int, count: int
) -> np.ndarray:
    """Match objects of a clip to slots one to one, with the largest total overlap.

    Args:
      slots: integers [T, H, W], the most probable slot of each pixel.
      masks: integers [T, H, W], 0 background, 1 … N an object.
      num_slots: K, at least N.
      count: N.

    Returns:
      integers [N].
    """
    overlap = np.zeros((count + 1, num_slots), np.int64)
    np.add.at(overlap, (masks.ravel(), slots.ravel()), 1)
    return linear_sum_assignment(-overlap[1:])[1]


def samples(clip: Mapping[str, Any], z: np.ndarray, slots: np.ndarray) -> dict[str, np.ndarray]:
    """Latents of the matched slots of a clip, and the true properties of their balls.

    Args:
      clip: of a source of balls.
      z: [T, K, D].
      slots: integers [T, H, W].

    Returns:
      "z" [T·N, D], and each of ``PROPERTIES`` [T·N, d].

    Raises:
      ValueError: there are fewer slots than balls.
    """
    frames, count = len(z), int(clip["n_objects"])
    if z.shape[1] < count:
        raise ValueError(
            f"expected at least {count} slots, one for each ball of a clip, got {z.shape[1]}: set "
            f"evaluate.num_slots to {count} or more"
        )
    masks = clip["masks"][:frames]
    held = matched_slots(slots, masks, num_slots=z.shape[1], count=count)
    each = {"color": clip["colors"][:count], "size": clip["radii"][:count, None]}
    content = {name: np.tile(value, (frames, 1)) for name, value in each.items()}
    positions = clip["positions"][:frames, :count]
    return {
        "z": z[:, held].reshape(frames * count, z.shape[-1]),
        "position": positions.reshape(frames * count, -1),
        **content,
    }
