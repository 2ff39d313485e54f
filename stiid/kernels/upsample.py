"""Upsampling by two and a convolution, as one convolution of the small image."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from stiid.kernels.conv import Initializer, conv2d
from stiid.shapes import Array

_KERNEL = 4
# Which pixel of the small image (previous, same, next) each of the four taps along an axis reads,
# for the first and the second of the two pixels that a small pixel becomes. SAME padding of an even
# kernel: one zero before the image, two after it.
_TAPS = np.array(
    [
        [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]],
        [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]],
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
        shape = (_KERNEL, _KERNEL, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        phases = jnp.einsum("pai,qbj,ijcf->abcpqf", _TAPS, _TAPS, kernel)
        y = conv2d(x, phases.reshape(3, 3, x.shape[-1], 4 * self.features))
        count, height, width, _ = y.shape
        y = y.reshape(count, height, width, 2, 2, self.features).swapaxes(2, 3)
        return y.reshape(count, 2 * height, 2 * width, self.features) + bias.reshape(1, 1, 1, -1)
