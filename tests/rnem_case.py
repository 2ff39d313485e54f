"""Sizes and inputs of the tests of R-NEM, and NumPy for its oracles."""

import jax
import numpy as np

from stiid.models.rnem.model import RnemConfig

PAPER = RnemConfig(
    family="rnem",
    num_slots=5,
    cell="r_nem",
    features=(16, 32, 64),
    hidden=512,
    state_size=250,
    attention_features=100,
    flip_probability=0.2,
    inter_weight=1.0,
)


B, T, K, S = 2, 4, 3, 8


def random_like(tree, seed=0, scale=0.4):
    """Values for a tree of shapes: biases and gains are not 0 and 1."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) * scale, tree)


def frames(seed=0, *, length=T, channels=1):
    rng = np.random.default_rng(seed)
    return (rng.random((length, B, S, S, channels)) < 0.3).astype(np.float32)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))
