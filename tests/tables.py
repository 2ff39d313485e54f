"""Contingency tables that tests score."""

import itertools
import math

import numpy as np


def table_of(true_ids, slots, num_ids, num_slots):
    """An independent table by a loop over pixels."""
    table = np.zeros((num_ids, num_slots), np.int64)
    for n, k in zip(np.ravel(true_ids), np.ravel(slots), strict=True):
        table[n, k] += 1
    return table


def random_tables(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 40, shape) * (rng.random(shape) < 0.6)


def brute_force_iou(table):
    objects = [n for n in range(1, table.shape[0]) if table[n].sum()]
    if not objects:
        return math.nan
    best = 0.0
    for slots in itertools.permutations(range(table.shape[1] + len(objects)), len(objects)):
        total = 0.0
        for n, k in zip(objects, slots, strict=True):
            if k < table.shape[1]:  # the others are "no slot"
                total += table[n, k] / (table[n].sum() + table[:, k].sum() - table[n, k])
        best = max(best, total)
    return best / len(objects)
