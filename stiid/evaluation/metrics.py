"""Scores of a decomposition: ARI, F-ARI, mIoU, mBO, object recall, MSE, slot switches.

The device only counts: per frame, the contingency table of true ids against predicted slots
(`contingency`). Every score is a function of these tables, computed on the host in float64.
Inference is causal, so the tables of one pass over the longest clip give the scores of each prefix.

Shapes: B clips, T frames, H x W pixels, N true ids (0 = background), K slots; `table[..., n, k]` is
the number of pixels with true id n and slot k.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

# Scores that are not defined for a clip without objects.
OBJECT_SCORES = (
    *("ari", "f_ari", "ari_frame", "f_ari_frame", "miou", "recall", "slot_switches"),
    *("mbo", "mota", "idf1", "id_switches", "j", "f"),  # of `scoring.clip_totals` only
)
# Comparable with the paper's numbers; mostly equal to the scores per frame, by these names.
AUTHORS_SCORES = {"ari_authors": "ari_frame", "f_ari_authors": "f_ari_frame"}
_FOUND = 0.5  # least IoU of an object that counts as found


def contingency(
    true_ids: jax.Array | np.ndarray, slots: jax.Array, *, num_ids: int, num_slots: int
) -> jax.Array:
    """Count, per frame, the pixels of every (true id, slot) pair.

    The counts are integer additions and therefore exact. Ids and slots out of range are not
    counted, since a traced function cannot raise on values.

    Args:
      true_ids: [B, T, H, W] integers in [0, num_ids), 0 = background.
      slots: [B, T, H, W] integers in [0, num_slots), the argmax of the masks.
      num_ids: N, background included.
      num_slots: K.

    Returns:
      [B, T, N, K] int32.
    """
    if true_ids.ndim != 4 or true_ids.shape != slots.shape:
        raise ValueError(
            "true_ids and slots must have the same shape [B, T, H, W], "
            f"got {true_ids.shape} and {slots.shape}"
        )
    for name, array in (("true_ids", true_ids), ("slots", slots)):
        if not jnp.issubdtype(array.dtype, jnp.integer):
            raise ValueError(f"{name} must be integers, got dtype {array.dtype}")
    batch, length = true_ids.shape[:2]
    cells = num_ids * num_slots
    ids = jnp.asarray(true_ids, jnp.int32).reshape(batch * length, -1)
    slots = slots.astype(jnp.int32).reshape(batch * length, -1)
    inside = (ids >= 0) & (ids < num_ids) & (slots >= 0) & (slots < num_slots)
    frame = jnp.arange(batch * length, dtype=jnp.int32)[:, None]
    # Indices past the last cell are dropped; a negative one would wrap around.
    cell = jnp.where(inside, frame * cells + ids * num_slots + slots, batch * length * cells)
    table = jnp.zeros(batch * length * cells, jnp.int32).at[cell.ravel()].add(1, mode="drop")
    return table.reshape(batch, length, num_ids, num_slots)


def check_table(table: Any, rank: int) -> np.ndarray:
    """A contingency table as int64; raises ValueError if it is none, or has fewer axes."""
    table = np.asarray(table)
    if table.ndim < rank:
        raise ValueError(f"a table needs at least {rank} axes, got shape {table.shape}")
    if not np.issubdtype(table.dtype, np.integer):
        raise ValueError(f"a table holds integer counts, got dtype {table.dtype}")
    if table.size and table.min() < 0:
        raise ValueError(f"a table holds counts, got the negative entry {table.min()}")
    return table.astype(np.int64)


def adjusted_rand_index(table: Any) -> np.ndarray:
    """Adjusted Rand index (Hubert & Arabie 1985) of contingency tables.

    With C(x) = x(x-1)/2, a_n and b_k the row and column sums and P = C(number of pixels),

        ARI = (S - A B / P) / ((A + B) / 2 - A B / P),
        S = sum C(n_nk), A = sum C(a_n), B = sum C(b_k).

    It is evaluated through the numbers of pixel pairs on which the two clusterings agree (together
    in both: S; apart in both: P - A - B + S) and disagree (A - S; B - S). All of these are exact
    integers and no two large numbers are subtracted after rounding.

    The denominator is 0 exactly if both clusterings are one cluster, or both are all singletons
    (or there are fewer than two pixels). The score is then 1, as in SAVi and scikit-learn, also for
    an empty table; `clip_scores` leaves out clips and frames without objects.

    Args:
      table: [..., N, K] integer counts. F-ARI is the score of `table[..., 1:, :]`: pixels of the
        true background are left out, predicted clusters are still all slots.

    Returns:
      [...] float64, at most 1.
    """
    table = check_table(table, 2)

    def pairs(count: np.ndarray) -> np.ndarray:
        return count * (count - 1) // 2

    together = pairs(table).sum((-2, -1))
    only_true = pairs(table.sum(-1)).sum(-1) - together
    only_slots = pairs(table.sum(-2)).sum(-1) - together
    apart = pairs(table.sum((-2, -1))) - together - only_true - only_slots
    agree = (only_true == 0) & (only_slots == 0)  # contains the degenerate cases

    s, t, k, n = (np.asarray(x, np.float64) for x in (together, only_true, only_slots, apart))
    denominator = np.where(agree, 1.0, (s + t) * (t + n) + (s + k) * (k + n))
    return np.where(agree, 1.0, 2.0 * (s * n - t * k) / denominator)


def matched_iou(table: Any) -> np.ndarray:
    """Mean intersection over union of true objects and slots, matched one to one.

    IoU(n, k) = n_nk / (a_n + b_k - n_nk), where b_k counts all pixels of slot k, including those on
    the true background. Hungarian matching maximizes the sum over the foreground objects that occur
    in the table; an object left without a slot counts 0.

    Args:
      table: [..., N, K] integer counts, row 0 = background. Sum over frames for a per-clip score,
        so that an object must stay in one slot.

    Returns:
      [...] float64 in [0, 1]; NaN without objects.
    """
    return _of_objects(table, lambda iou, background: _matched(iou))


def mean_best_overlap(table: Any) -> np.ndarray:
    """Mean over true objects of the largest IoU with any slot (mBO, Pont-Tuset et al. 2017).

    Unlike in `matched_iou`, one slot may be the best for several objects.

    Args:
      table: [..., N, K] integer counts, row 0 = background. Sum over frames for a per-clip score.

    Returns:
      [...] float64 in [0, 1]; NaN without objects.
    """
    return _of_objects(table, lambda iou, background: iou.max(1).mean())


def object_recall(table: Any) -> np.ndarray:
    """Share of the true objects that have a slot of their own, with an IoU of at least one half.

    The slot with most of the background's pixels is the background's slot. The objects and the
    other slots are matched one to one. Without any true background all slots are matched.

    Args:
      table: [..., N, K] integer counts, row 0 = background. Sum over frames for a per-clip score.

    Returns:
      [...] float64 in [0, 1]; NaN without objects.
    """

    def score(iou: np.ndarray, background: np.ndarray) -> float:
        found = iou >= _FOUND
        if background.any():
            found[:, background.argmax()] = False
        return _matched(found)

    return _of_objects(table, score)


def _of_objects(table: Any, score: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    """Score every table [N, K] of [..., N, K]: [...]; NaN without objects.

    Args:
      table: see ``matched_iou``.
      score: of the IoU [n, K] of each object that occurs with each slot, and of the slots' pixels
        [K] on the background.
    """
    table = check_table(table, 2)
    scores = np.full(table.shape[:-2], np.nan)
    for place in np.ndindex(scores.shape):
        counts = table[place]
        objects = counts[1:][counts[1:].sum(1) > 0]
        if len(objects):
            iou = objects / (objects.sum(1, keepdims=True) + counts.sum(0) - objects)
            scores[place] = score(iou, counts[0])
    return scores


def _matched(values: np.ndarray) -> float:
    """Largest sum of values [n, K] of objects and slots, matched one to one, over n."""
    rows, columns = linear_sum_assignment(values, maximize=True)
    return values[rows, columns].sum() / len(values)


def slot_switches(table: Any) -> np.ndarray:
    """Number of times that a true object changes its slot, summed over the objects of a clip.

    The slot of an object in a frame is the one with most of its pixels. It is compared with the
    slot in the last frame in which the object was visible, so a change during an occlusion counts.
    If several slots have equally many pixels, the object keeps its slot if that is among them.

    Args:
      table: [B, T, N, K] integer counts, row 0 = background (not counted).

    Returns:
      [B] float64 whole numbers.
    """
    table = check_table(table, 4)[:, :, 1:]
    switches = np.zeros(len(table))
    if table.shape[2] == 0:
        return switches
    holder = np.full((len(table), table.shape[2]), -1)  # -1: not seen yet
    for counts in np.moveaxis(table, 1, 0):
        most = counts.max(-1)
        held = np.take_along_axis(counts, np.maximum(holder, 0)[..., None], -1)[..., 0]
        moves = (most > 0) & ((holder < 0) | (held < most))
        switches += (moves & (holder >= 0)).sum(-1)
        holder = np.where(moves, counts.argmax(-1), holder)
    return switches


def clip_scores(tables: Any, squared_error: Any, *, length: int) -> dict[str, np.ndarray]:
    """All scores of the first `length` frames of each clip.

    `ari`, `f_ari`, `miou` and `recall` treat the clip as one clustering of all its pixels (table
    summed over the frames): they are lower if a slot changes its object. `ari_frame` and
    `f_ari_frame` are computed frame by frame, as in the paper, and averaged over the frames with
    objects; they do not notice such changes. `ari_authors` and `f_ari_authors` are what the code of
    the paper's authors computes, and so comparable with the paper's numbers: means over all frames,
    where F-ARI of a frame without objects counts 1. They equal those per frame if every frame has
    objects.

    `OBJECT_SCORES` are NaN for a clip without objects, and `totals.ScoreTotals` leaves it out.

    Args:
      tables: [B, T, N, K] integer counts of `contingency`, or None for clips without true masks.
      squared_error: [B, T] squared error of the reconstruction, mean over pixels and channels.
      length: number of frames to score, 1 <= length <= T.

    Returns:
      float64 [B] for each of ari, f_ari, ari_frame, f_ari_frame, ari_authors, f_ari_authors, miou,
      recall, mse, slot_switches; without tables, mse only.
    """
    squared_error = np.asarray(squared_error, np.float64)
    if tables is None:
        _check_length(length, squared_error.shape[1])
        return {"mse": squared_error[:, :length].mean(1)}
    tables = check_table(tables, 4)
    if tables.ndim != 4 or squared_error.shape != tables.shape[:2]:
        raise ValueError(
            "expected tables [B, T, N, K] and squared_error [B, T], "
            f"got {tables.shape} and {squared_error.shape}"
        )
    _check_length(length, tables.shape[1])
    tables = tables[:, :length]
    clip = tables.sum(1)
    with_objects = tables[:, :, 1:].any((2, 3))  # [B, T]
    count = with_objects.sum(1)

    def over_frames(scores: np.ndarray) -> np.ndarray:
        return np.where(with_objects, scores, 0.0).sum(1) / np.maximum(count, 1)

    frames = {"ari": adjusted_rand_index(tables), "f_ari": adjusted_rand_index(tables[:, :, 1:])}
    scores = {
        "ari": adjusted_rand_index(clip),
        "f_ari": adjusted_rand_index(clip[:, 1:]),
        "ari_frame": over_frames(frames["ari"]),
        "f_ari_frame": over_frames(frames["f_ari"]),
        "ari_authors": frames["ari"].mean(1),
        "f_ari_authors": frames["f_ari"].mean(1),
        "miou": matched_iou(clip),
        "recall": object_recall(clip),
        "mse": squared_error[:, :length].mean(1),
        "slot_switches": slot_switches(tables),
    }
    for name in scores.keys() & set(OBJECT_SCORES):
        scores[name] = np.where(count > 0, scores[name], np.nan)
    return scores


def _check_length(length: int, frames: int) -> None:
    if not 1 <= length <= frames:
        raise ValueError(f"length must lie in [1, {frames}], got {length}")
