"""XLA's own convolution, on which the other convolutions of ``kernels`` are built."""

from jax import lax

from stiid.shapes import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain_conv2d(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """Convolve as ``kernels.conv.conv2d``, by XLA alone (GPU, TPU, and to test the CPU's forms)."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=_LAYOUT)
