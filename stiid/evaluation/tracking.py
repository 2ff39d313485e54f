"""Scores of tracks: MOTA of the CLEAR metrics, identity switches, IDF1.

Object tracking counts detections. Here a detection is an object, or a slot, in a frame in which it
has pixels. An object and a slot may be paired in a frame if their IoU is at least one half. The
slot with most of the true background's pixels in the clip is the background's and no detection.

The functions take the contingency tables of `metrics.contingency`, which contain every IoU.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from stiid.evaluation.metrics import check_table

_MATCH = 0.5  # least IoU of a pair
_KEPT = 1e3  # more than all IoUs of a frame together: an earlier pair goes before a better one


class TrackScores(NamedTuple):
    """Scores of tracks, float64 [B] each; NaN for a clip without objects.

    Attributes:
      mota: 1 − (misses + false positives + identity switches) / (detections of objects), in
        (−∞, 1]: Bernardin & Stiefelhagen, Evaluating multiple object tracking performance, 2008.
      idf1: 2 D / (detections of objects + detections of slots), in [0, 1], where D is the number
        of frames in which an object and its slot are a pair, under the one-to-one assignment of
        slots to objects of the whole clip for which D is largest: Ristani et al., Performance
        measures and a data set for multi-target, multi-camera tracking, 2016.
      id_switches: how often an object is paired with another slot than when it was last paired.
    """

    mota: np.ndarray
    idf1: np.ndarray
    id_switches: np.ndarray


def track_scores(tables: np.ndarray) -> TrackScores:
    """Score the tracks of each clip.

    Pairs of a frame are chosen for the largest sum of IoUs, after those of the frame before, which
    are kept while their IoU allows it.

    Args:
      tables: [B, T, N, K] integer counts, row 0 = background.
    """
    tables = check_table(tables, 4)
    scores = np.array([_clip_scores(clip) for clip in tables]).reshape(-1, 3)
    return TrackScores(*scores.T)


def _clip_scores(table: np.ndarray) -> tuple[float, float, float]:
    """MOTA, IDF1 and identity switches of one clip [T, N, K]."""
    objects, slots = table[:, 1:], table
    background = table[:, 0].sum(0)
    if background.any():
        kept = np.arange(table.shape[2]) != background.argmax()
        objects, slots = objects[..., kept], table[..., kept]
    true_area, slot_area = table[:, 1:].sum(-1), slots.sum(-2)  # [T, N], [T, K]
    detections = int((true_area > 0).sum())
    if not detections:
        return np.nan, np.nan, np.nan
    union = true_area[..., None] + slot_area[:, None] - objects
    iou = objects / np.maximum(union, 1)  # [T, N, K]; 0 where either has no pixels
    allowed = iou >= _MATCH

    together = allowed.sum(0)
    rows, columns = linear_sum_assignment(together, maximize=True)
    predictions = int((slot_area > 0).sum())
    idf1 = 2 * together[rows, columns].sum() / (detections + predictions)

    pairs = switches = 0
    owner = np.full(iou.shape[1], -1)  # slot of each object when it was last paired
    before = np.zeros(iou.shape[1:], bool)  # pairs of the last frame
    for frame, possible in zip(iou, allowed, strict=True):
        value = np.where(possible, frame + _KEPT * before, 0.0)
        rows, columns = linear_sum_assignment(value, maximize=True)
        found = value[rows, columns] > 0
        rows, columns = rows[found], columns[found]
        switches += int(((owner[rows] >= 0) & (owner[rows] != columns)).sum())
        owner[rows] = columns
        pairs += len(rows)
        before = np.zeros_like(before)
        before[rows, columns] = True
    errors = (detections - pairs) + (predictions - pairs) + switches
    return 1 - errors / detections, idf1, switches
