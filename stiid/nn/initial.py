"""Initial weights as PyTorch draws them."""

import math

import jax

from stiid.shapes import Array, Params


def uniform_weights(params: Params, key: Array, lstm_features: int) -> Params:
    """Redraw every layer {kernel, bias} of a tree from U(−a, a).

    Args:
      params: nested dict; of the layers only the shapes count.
      key: of the draws.
      lstm_features: M; of the layer "gates", a plain LSTM's, a = 1/√M, and the bias is the sum of
        two draws, since PyTorch keeps two. Elsewhere a = 1/√fan-in.
    """
    drawn = {}
    for name, value in params.items():
        key, own = jax.random.split(key)
        if "kernel" not in value:
            drawn[name] = uniform_weights(value, own, lstm_features)
            continue
        kernel, bias = value["kernel"], value["bias"]
        gates = name == "gates"
        bound = 1.0 / math.sqrt(lstm_features if gates else kernel[..., 0].size)
        first, second, third = jax.random.split(own, 3)
        draws = jax.random.uniform(second, bias.shape, minval=-bound, maxval=bound)
        if gates:
            draws += jax.random.uniform(third, bias.shape, minval=-bound, maxval=bound)
        weights = jax.random.uniform(first, kernel.shape, minval=-bound, maxval=bound)
        drawn[name] = {"kernel": weights, "bias": draws}
    return drawn
