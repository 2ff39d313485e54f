"""XLA's own convolution, of which and beside which ``kernels.conv`` builds others."""

from jax import lax

from stiid.shapes import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain_conv2d(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """``kernels.conv.conv2d`` by XLA alone, gradients included (GPU, TPU; oracle on CPU)."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=_LAYOUT)
