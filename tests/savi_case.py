"""Sizes and inputs of the tests of SAVi, and NumPy for its oracles."""

import jax
import numpy as np

from stiid.models.savi.networks import Corrector, FrameEncoder, Predictor, SlotDecoder

B, K, P, F, S = 2, 3, 6, 5, 8  # videos, slots, inputs of a frame, their features, size of a slot
HEADS, MLP = 2, 7

CORRECTOR = Corrector(S, 0)
PREDICTOR = Predictor(HEADS, MLP)
ENCODER = FrameEncoder((4, F), (1, 1), 5, 6)
DECODER = SlotDecoder(8, 8, 3, (4, 5, 6), 2, 5)


def random_like(tree, seed=0, scale=0.4):
    """Values for a tree of shapes: biases and gains are not 0 and 1."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) * scale, tree)


def params_of(module, *inputs, **options):
    """Random parameters of a module."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, **options))
    return random_like(shapes["params"])


def draw(seed, *shape):
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0.0)


def softmax(x, axis):
    shifted = np.exp(x - x.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def dense(x, params):
    """A linear layer in float64, with its bias if it has one."""
    return np.asarray(x, np.float64) @ params["kernel"] + params.get("bias", 0.0)


def layer_norm(x, params):
    x = np.asarray(x, np.float64)
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * params["scale"] + params["bias"]
