"""Upsampling by two and a convolution, as one convolution of the small image."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from stiid.kernels.conv import Initializer, conv2d
from stiid.shapes import Array

# Which pixel of the small image (previous, same, next) each tap along an axis reads, for the first
# and the second of the two pixels that a small pixel becomes.
# Pixels repeated, then 4 taps. SAME padding of an even kernel: one zero before the image, two after
# it.
_REPEATED = np.array(
    [
        [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]],
        [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]],
    ],
    np.float32,
)
# Zeros between pixels, then 5 taps: a transposed convolution. SAME padding: three zeros before the
# image with its zeros, two after it.
_SPREAD = np.array(
    [
        [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]],
        [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]],
    ],
    np.float32,
)


class UpsampleConv(nn.Module):
    """Repeat rows and columns twice, then convolve by 4×4 with bias (SAME padding).

    Since pixels are repeated, the 4×4 kernel acts as a 3×3 kernel of the small image for each of
    the four output phases. The values are the same, with about half of the multiplications.

    Attributes:
      features: output channels O.
    """

    features: int
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Upsample and convolve images [N, H, W, I] → [N, 2H, 2W, O]."""
        return _upsample(self, x, _REPEATED)


class TransposedConv(nn.Module):
    """A transposed convolution by 5×5 with stride 2 and bias (SAME padding, kernel not flipped).

    As with ``UpsampleConv``, a 3×3 kernel of the small image gives each of the four output phases.

    Attributes:
      features: output channels O.
    """

    features: int
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Upsample and convolve images [N, H, W, I] → [N, 2H, 2W, O]."""
        return _upsample(self, x, _SPREAD)


def _upsample(layer: UpsampleConv | TransposedConv, x: Array, taps: np.ndarray) -> Array:
    """Apply a layer whose taps read [2 phases, 3 pixels, k taps] of the small image."""
    size, features = taps.shape[-1], layer.features
    kernel = layer.param("kernel", layer.kernel_init, (size, size, x.shape[-1], features))
    bias = layer.param("bias", nn.initializers.zeros, (features,))
    phases = jnp.einsum("pai,qbj,ijcf->abcpqf", taps, taps, kernel)
    y = conv2d(x, phases.reshape(3, 3, x.shape[-1], 4 * features))
    count, height, width, _ = y.shape
    y = y.reshape(count, height, width, 2, 2, features).swapaxes(2, 3)
    return y.reshape(count, 2 * height, 2 * width, features) + bias.reshape(1, 1, 1, -1)
