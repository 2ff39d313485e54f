"""Scores of simulated balls, apart by what has happened to them since the last observed frame.

A ball of a simulated frame is ``free`` until it touches something, ``wall`` after it has bounced
off walls only, and ``collided`` from its first collision with another ball on. Scores are those of
single balls, since a group may have one ball of a clip only: its F-ARI would be 1 wherever it is.

Shapes: B clips, T frames, of which S are observed, n balls, K slots.
"""

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from stiid.data.balls.physics import bounced, collided
from stiid.data.source import Source
from stiid.evaluation.velocity import compare_velocities, frame_means

GROUPS = ("free", "wall", "collided")


def knows_contacts(source: Source) -> bool:
    """Whether clips have velocities in the image plane, which contacts are read from."""
    velocities = source[0].get("velocities")
    return velocities is not None and velocities.shape[-1] == 2


def groups(velocities: np.ndarray, *, num_observed: int) -> np.ndarray:
    """The group of each ball in each simulated frame, an index of ``GROUPS``.

    Args:
      velocities: [T, n, 2] of ``bouncing_balls.clips``.
      num_observed: S.

    Returns:
      Integers [T − S, n]. A contact between two frames counts from the second one on.
    """
    contacts = np.maximum(1 * bounced(velocities), 2 * collided(velocities))
    return np.maximum.accumulate(contacts[num_observed:], axis=0)


def group_scores(
    tables: np.ndarray,
    positions: np.ndarray,
    truth: np.ndarray,
    membership: np.ndarray,
    *,
    num_observed: int,
    size: tuple[int, int],
) -> dict[str, dict[str, list[Any]]]:
    """Scores of the balls of each group, in each simulated frame.

    ``balls`` is their number, and the others are means over them, None if there are none: ``iou``
    of a ball and its slot, the one with the largest IoU in the observed frames (one to one);
    ``error``, the distance of their positions in pixels; and ``cosine`` of their velocities, see
    ``velocity.velocity_scores``. A slot without pixels has an IoU of 0, and no position: it does
    not count in the last two.

    Args:
      tables: [B, T, N, K] of ``evaluator.tables``; rows 1 … n are the balls, if N > n.
      positions: [B, T, K, 2] of the slots, see ``velocity``; the last slots may have none.
      truth: [B, T, n, 2] of the balls.
      membership: [B, T − S, n] of ``groups``.
      num_observed: S.
      size: width and height of the frames.
    """
    found: dict[str, list[np.ndarray]] = {"iou": [], "error": [], "cosine": []}
    members = []
    lacking = tables.shape[3] - positions.shape[2]
    positions = np.pad(positions, [(0, 0)] * 2 + [(0, lacking), (0, 0)], constant_values=np.nan)
    for table, ours, theirs, member in zip(tables, positions, truth, membership, strict=True):
        balls, slots = _matched(table[:num_observed])
        areas = table.sum(-1)[:, balls] + table.sum(-2)[:, slots]
        shared = table[:, balls, slots]
        ours, theirs = ours[:, slots], theirs[:, balls - 1]
        distances = np.linalg.norm((ours - theirs) * size, axis=-1)
        cosine, _ = compare_velocities(ours, theirs, num_observed=num_observed)
        seen = table[num_observed:, balls].any(-1)
        iou = shared[num_observed:] / np.maximum(areas - shared, 1)[num_observed:]
        found["iou"].append(np.where(seen, iou, np.nan))
        found["error"].append(distances[num_observed:])
        found["cosine"].append(cosine)
        members.append(np.where(seen, member[:, balls - 1], -1))
    member, values = _joined(members), {name: _joined(x) for name, x in found.items()}
    return {
        group: {
            "balls": (member == i).sum(1).tolist(),
            **{
                name: frame_means([np.where(member == i, x, np.nan)], len(x))
                for name, x in values.items()
            },
        }
        for i, group in enumerate(GROUPS)
    }


def _matched(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the balls that are visible in frames [S, N, K], and the slot of each."""
    counts = table.sum(0)
    union = counts.sum(1, keepdims=True) + counts.sum(0) - counts
    balls = 1 + np.flatnonzero(counts[1:].any(1))
    chosen, slots = linear_sum_assignment(-(counts / np.maximum(union, 1))[balls])
    return balls[chosen], slots


def _joined(clips: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(clips, axis=1)
