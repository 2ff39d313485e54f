"""Initial weights in PyTorch's default distribution."""

import functools
import math
import operator
from typing import Any

import jax

from stiid.shapes import Array, Params


def uniform_weights(params: Params, key: Array, lstm_features: int) -> Params:
    """Sample every parameter of a tree of layers {kernel, bias} anew from U(−a, a).

    Args:
      params: nested dict; only its shapes are used.
      key: of the random numbers.
      lstm_features: M; in the LSTM a = 1/√M. Elsewhere a = 1/√fan-in.
    """
    keys = iter(jax.random.split(key, len(jax.tree.leaves(params))))

    def sample(path: tuple[Any, ...], leaf: Array) -> Array:
        names = [entry.key for entry in path]
        layer = functools.reduce(operator.getitem, names[:-1], params)
        lstm = names[-2] in ("lstm", "gates")
        bound = 1.0 / math.sqrt(lstm_features if lstm else layer["kernel"][..., 0].size)
        return jax.random.uniform(next(keys), leaf.shape, minval=-bound, maxval=bound)

    return jax.tree_util.tree_map_with_path(sample, params)
