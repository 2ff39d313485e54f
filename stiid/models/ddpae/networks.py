"""DDPAE's networks: convolutions as in DCGAN, and LSTMs.

Convolutions have 4×4 kernels and no bias; weights are N(0, 0.02), gains of the batch norm
N(1, 0.02). Batch norm takes the statistics of the batch that a device sees in training, and their
running averages at test. LSTMs start as PyTorch's do, with its two biases.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from stiid.shapes import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_small = nn.initializers.normal(0.02)


def depth(size: int) -> int:
    """Number of layers of a network for images of size × size: they end, or begin, at 4×4."""
    return int(math.log2(size)) - 1


class ImageEncoder(nn.Module):
    """Encode an image as a vector.

    Attributes:
      features: channels of the first convolution; every further one doubles them.
      outputs: size of the vector.
    """

    features: int
    outputs: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, S, S, C] → [N, outputs], S a power of two of at least 8."""
        for i in range(depth(x.shape[1]) - 1):
            kernel = self.param(f"kernel_{i}", _small, (4, 4, x.shape[-1], self.features * 2**i))
            x = lax.conv_general_dilated(x, kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=_LAYOUT)
            x = nn.leaky_relu(_normalize(x, train) if i else x, 0.2)
        x = x.reshape(len(x), -1)
        return nn.Dense(self.outputs, use_bias=False, kernel_init=_small)(x)


class ImageDecoder(nn.Module):
    """Decode a vector to an image, with the layers of the encoder in reverse.

    Attributes:
      size: rows and columns S, a power of two of at least 8.
      channels: C.
      features: channels before the last convolution; every earlier one has twice as many.
    """

    size: int
    channels: int
    features: int

    @nn.compact
    def __call__(self, z: Array, *, train: bool) -> Array:
        """[N, Z] → [N, S, S, C] in (0, 1)."""
        layers = depth(self.size)
        widths = [self.features * 2**i for i in reversed(range(layers - 1))]
        x = nn.Dense(16 * widths[0], use_bias=False, kernel_init=_small)(z)
        x = nn.relu(_normalize(x.reshape(-1, 4, 4, widths[0]), train))
        for i, features in enumerate([*widths[1:], self.channels]):
            kernel = self.param(f"kernel_{i}", _small, (4, 4, x.shape[-1], features))
            x = lax.conv_transpose(x, kernel, (2, 2), [(2, 2)] * 2, dimension_numbers=_LAYOUT)
            x = nn.relu(_normalize(x, train)) if i < layers - 2 else nn.sigmoid(x)
        return x


def _normalize(x: Array, train: bool) -> Array:
    norm = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        scale_init=lambda *args: 1.0 + _small(*args),
    )
    return norm(x)


class LSTM(nn.Module):
    """One step of an LSTM.

    Attributes:
      features: H.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        """Inputs [B, I] and state (h, c), each [B, H] → next state."""
        h, c = state

        def linear(name: str, x: Array) -> Array:
            bound = 1.0 / math.sqrt(self.features)
            start = nn.initializers.uniform(2.0 * bound)
            centered = lambda *args: start(*args) - bound  # noqa: E731
            return nn.Dense(4 * self.features, kernel_init=centered, bias_init=centered, name=name)(
                x
            )

        i, f, g, o = jnp.split(linear("input", x) + linear("hidden", h), 4, axis=-1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        return nn.sigmoid(o) * jnp.tanh(c), c


class GaussianHead(nn.Module):
    """Mean and standard deviation.

    Attributes:
      outputs: size of each.
    """

    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """[..., I] → two of [..., outputs]; the second is positive."""
        mean = nn.Dense(self.outputs, kernel_init=_small, name="mean")(x)
        return mean, nn.softplus(nn.Dense(self.outputs, kernel_init=_small, name="deviation")(x))
