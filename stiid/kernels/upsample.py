"""Upsampling by two and a convolution, as one convolution of the small image."""

from typing import ClassVar

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


class _PhaseConv(nn.Module):
    """An upsampling convolution as a 3×3 convolution of the small image for each output phase.

    Attributes:
      features: output channels O.
    """

    # What each tap of the kernel reads: [2 phases, 3 pixels of the small image, k taps].
    TAPS: ClassVar[np.ndarray]

    features: int
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Upsample and convolve images [N, H, W, I] → [N, 2H, 2W, O]."""
        taps, size = self.TAPS, self.TAPS.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (size, size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        phases = jnp.einsum("pai,qbj,ijcf->abcpqf", taps, taps, kernel)
        y = conv2d(x, phases.reshape(3, 3, x.shape[-1], 4 * self.features))
        count, height, width, _ = y.shape
        y = y.reshape(count, height, width, 2, 2, self.features).swapaxes(2, 3)
        return y.reshape(count, 2 * height, 2 * width, self.features) + bias.reshape(1, 1, 1, -1)


class UpsampleConv(_PhaseConv):
    """Repeat rows and columns twice, then convolve by 4×4 with bias (SAME padding).

    Since pixels are repeated, the 4×4 kernel acts as a 3×3 kernel of the small image for each of
    the four output phases. The values are the same, with about half of the multiplications.
    """

    TAPS = _REPEATED


class TransposedConv(_PhaseConv):
    """A transposed convolution by 5×5 with stride 2 and bias (SAME padding, kernel not flipped)."""

    TAPS = _SPREAD
