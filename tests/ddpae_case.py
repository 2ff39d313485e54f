"""Sizes and parameters of the tests of DDPAE."""

import jax
import numpy as np

from stiid.models.ddpae.model import DdpaeConfig

BALLS = DdpaeConfig(
    family="ddpae",
    num_slots=4,
    num_observed=10,
    features=8,
    frame_code=256,
    hidden=128,
    content=128,
    scale=4.0,
    independent=False,
    scored="all",
)


B, T, N, S = 3, 4, 2, 16


def random_like(tree, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: (rng.normal(size=x.shape) * scale).astype(np.float32), tree)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
