"""Scores of segmented videos as in DAVIS: region similarity J and contour accuracy F.

References: Perazzi et al., A benchmark dataset and evaluation methodology for video object
segmentation, 2016; Caelles et al., The 2019 DAVIS challenge on VOS: unsupervised multi-object
segmentation, for the matching.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

_TOLERANCE = 0.008  # of the image's diagonal: how far apart two contours may lie


class RegionScores(NamedTuple):
    """Scores in [0, 1] of a clip; NaN for a clip without objects.

    Attributes:
      j: mean intersection over union of objects and their slots.
      f: mean F-measure of their contours: the harmonic mean of precision and recall, where a pixel
        of one contour counts as found if the other has one within 0.8 % of the image's diagonal,
        rounded up to pixels.
    """

    j: float
    f: float


def region_scores(slots: np.ndarray, true_ids: np.ndarray) -> RegionScores:
    """J and F of one clip.

    Each pair of an object and a slot has a mean J and F over the frames in which either has a
    pixel. (DAVIS also counts the other frames, as 1.) Objects and slots are matched one to one for
    the largest sum of J + F; an object without a slot counts 0. The slot with most of the true
    background's pixels is the background's, and not matched.

    Args:
      slots: [T, H, W] integers.
      true_ids: [T, H, W] integers, 0 = background.
    """
    if slots.ndim != 3 or slots.shape != true_ids.shape:
        raise ValueError(
            "slots and true_ids must have the same shape [T, H, W], "
            f"got {slots.shape} and {true_ids.shape}"
        )
    objects = np.unique(true_ids[true_ids != 0])
    if not len(objects):
        return RegionScores(np.nan, np.nan)
    parts, places = np.unique(slots, return_inverse=True)
    on_background = np.bincount(places.ravel()[true_ids.ravel() == 0], minlength=len(parts))
    if on_background.any():
        parts = np.delete(parts, on_background.argmax())
    radius = int(np.ceil(_TOLERANCE * np.hypot(*slots.shape[1:])))
    sums = np.zeros((2, len(objects), len(parts)))  # of J and F over frames
    counts = np.zeros((len(objects), len(parts)), int)
    for true_frame, slot_frame in zip(true_ids, slots, strict=True):
        true, found = true_frame == objects[:, None, None], slot_frame == parts[:, None, None]
        sums += _jaccard(true, found), _contour_f(true, found, radius)
        counts += np.logical_or.outer(true.any((1, 2)), found.any((1, 2)))
    means = sums / np.maximum(counts, 1)
    rows, columns = linear_sum_assignment(means.sum(0), maximize=True)
    j, f = means[:, rows, columns].sum(1) / len(objects)
    return RegionScores(float(j), float(f))


def _jaccard(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """IoU [n, k] of all pairs; 0 where both are empty."""
    common = _overlap(true, found)
    union = true.sum((1, 2))[:, None] + found.sum((1, 2)) - common
    return common / np.maximum(union, 1)


def _contour_f(true: np.ndarray, found: np.ndarray, radius: int) -> np.ndarray:
    """F-measure [n, k] of the contours of all pairs; 0 where one of them has no contour.

    Where both fill the image, neither has a contour, and F is 1.
    """
    lines = [_contours(masks) for masks in (true, found)]
    wide = [_widened(contours, radius) for contours in lines]
    lengths = [contours.sum((1, 2)) for contours in lines]
    recall = _overlap(lines[0], wide[1]) / np.maximum(lengths[0], 1)[:, None]
    precision = _overlap(wide[0], lines[1]) / np.maximum(lengths[1], 1)
    total = precision + recall
    full = np.logical_and.outer(true.all((1, 2)), found.all((1, 2)))
    return np.where(full, 1.0, 2 * precision * recall / np.where(total, total, 1.0))


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of common pixels [n, k] of masks [n, H, W] and [k, H, W]."""
    return np.tensordot(a.astype(np.float64), b.astype(np.float64), axes=((1, 2), (1, 2)))


def _contours(masks: np.ndarray) -> np.ndarray:
    """Pixels whose neighbor to the right, below, or diagonally below is on the other side."""
    padded = np.pad(masks, ((0, 0), (0, 1), (0, 1)), mode="edge")
    right, below, diagonal = padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    return (masks != right) | (masks != below) | (masks != diagonal)


def _widened(contours: np.ndarray, radius: int) -> np.ndarray:
    """All pixels within a radius of contours [n, H, W]."""
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = rows**2 + columns**2 <= radius**2
    return ndimage.binary_dilation(contours, disk[None])
