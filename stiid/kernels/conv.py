"""Convolutions whose gradients stay fast inside ``lax.scan`` on CPU.

XLA:CPU rewrites a convolution into the layout of its fast kernels in the entry computation only.
Inside a loop body the two gradient convolutions of a plain convolution keep their permuted
dimensions and run as naive loops, 20 to 35 times slower. On CPU we therefore define the gradients
ourselves, in forms that are fast inside loops too:

* with respect to the input: a plain convolution with the flipped, transposed kernel, behind an
  ``optimization_barrier`` so that XLA does not fold the transposition back;
* with respect to the kernel: ``kernels.kernel_gradient``;
* of 1×1 kernels: ``kernels.kernel_gradient`` as well;
* with a stride: patches and one matrix product, as of a 1×1 kernel.

``kernels.winograd`` computes wide 3×3 convolutions and their gradients with half the
multiplications.

On GPU and TPU, XLA's own convolution and gradient are used. ``experiments/benchmarks/
conv_in_scan.py`` measures the ratio; ``tests/kernels/test_conv.py`` tests that both paths agree.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from stiid.kernels.kernel_gradient import kernel_gradient, pixelwise_kernel_gradient
from stiid.kernels.plain_conv import plain_conv2d
from stiid.kernels.winograd import is_faster, winograd_conv2d, winograd_kernel_gradient
from stiid.shapes import Array

Initializer = Callable[..., Any]


def conv2d(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """Convolve images with zero padding to ⌈H/stride⌉ × ⌈W/stride⌉ ('SAME').

    Args:
      x: [N, H, W, I].
      kernel: [k, k, I, O]; k odd unless there is a stride.
      stride: step between output pixels, the same for rows and columns.

    Returns:
      [N, ⌈H/stride⌉, ⌈W/stride⌉, O]. The same values on every platform; how the gradient is
      computed depends on ``jax.default_backend()`` at trace time.
    """
    if kernel.shape[0] % 2 == 0 and stride == 1:
        raise ValueError(f"kernel_size must be odd without a stride, got {kernel.shape[0]}")
    if jax.default_backend() != "cpu":
        return plain_conv2d(x, kernel, stride=stride)
    if kernel.shape[0] == 1 and stride == 1:
        return _pixelwise(x, kernel[0, 0])
    return _conv2d_cpu(x, kernel) if stride == 1 else _patch_conv2d(x, kernel, stride)


@jax.custom_vjp
def _conv2d_cpu(x: Array, kernel: Array) -> Array:
    return winograd_conv2d(x, kernel) if is_faster(x, kernel) else plain_conv2d(x, kernel)


def _conv2d_fwd(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    # Calls the wrapped function, not the plain one: when this gradient is itself inside a
    # function that is differentiated (the inner posterior gradient), JAX differentiates *this*
    # body, and must find the fast rule again.
    return _conv2d_cpu(x, kernel), (x, kernel)


def _conv2d_bwd(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    flipped = lax.optimization_barrier(jnp.swapaxes(kernel[::-1, ::-1], 2, 3))
    if is_faster(x, kernel):
        return winograd_conv2d(g, flipped), winograd_kernel_gradient(x, g)
    return plain_conv2d(g, flipped), kernel_gradient(x, g, size=(len(kernel),) * 2)


_conv2d_cpu.defvjp(_conv2d_fwd, _conv2d_bwd)


@jax.custom_vjp
def _pixelwise(x: Array, matrix: Array) -> Array:
    return x @ matrix


def _pixelwise_fwd(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return _pixelwise(x, matrix), (x, matrix)


def _pixelwise_bwd(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, matrix = residuals
    return g @ matrix.T, pixelwise_kernel_gradient(x, g)


_pixelwise.defvjp(_pixelwise_fwd, _pixelwise_bwd)


# The gradient extracts the patches again: stored patches would take more memory than the input.
@partial(jax.checkpoint, prevent_cse=False, static_argnums=2)
def _patch_conv2d(x: Array, kernel: Array, stride: int) -> Array:
    """Strided SAME convolution as one product of patches with the kernel."""
    size = kernel.shape[0]
    pads = []
    for extent in x.shape[1:3]:
        total = max((-(-extent // stride) - 1) * stride + size - extent, 0)
        pads.append((total // 2, total - total // 2))
    rows, columns = (-(-extent // stride) for extent in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    patches = [
        x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return _pixelwise(jnp.concatenate(patches, axis=-1), kernel.reshape(-1, kernel.shape[-1]))


class Conv(nn.Module):
    """A convolution layer with bias (SAME padding), in the number format of its input.

    Attributes:
      features: output channels O.
      kernel_size: k, see ``conv2d``.
      stride: see ``conv2d``.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolve images [N, H, W, I] → [N, ⌈H/stride⌉, ⌈W/stride⌉, O]."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = conv2d(x, kernel.astype(x.dtype), stride=self.stride)
        # Added in float32, so that the gradient of the bias is summed in float32.
        return (y + bias.reshape(1, 1, 1, -1)).astype(x.dtype)


class BroadcastConv(nn.Module):
    """The first convolution of a spatial broadcast decoder, without a full convolution.

    The decoder's input is a vector repeated over the image, concatenated with fixed position
    features. Away from the border the convolution of a constant is a constant, so a vector has
    only k × k distinct outputs (one for each way in which the border clips the kernel). The layer
    is therefore one product [N, D]·[D, k²·O], repeated over the image, plus one convolution of the
    position features that all vectors share. The output equals the full convolution's up to
    rounding; k = 3 at 64 × 64 saves 98 % of the layer's work. With k = 1 each vector gives one
    affine map of the position features, and the layer is one product of position features and
    maps. Computes in the number format of its vectors.

    Attributes:
      features: output channels O.
      kernel_size: odd k.
    """

    features: int
    kernel_size: int = 3

    @nn.compact
    def __call__(self, z: Array, positions: Array, maps: Array | None = None) -> Array:
        """Convolve vectors and position features as if they were concatenated.

        Args:
          z: vectors [N, D].
          positions: features [H, W, P].
          maps: optional [N, P, O]; the features times a vector's map are added to its output.

        Returns:
          [N, H, W, O].
        """
        size, (height, width, channels) = self.kernel_size, positions.shape
        shape = (size, size, z.shape[-1] + channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel, positions = kernel.astype(z.dtype), positions.astype(z.dtype)
        of_vector, of_position = kernel[:, :, : z.shape[-1]], kernel[:, :, z.shape[-1] :]

        if size == 1:
            own = of_position if maps is None else of_position[0] + maps
            own = jnp.broadcast_to(
                own.reshape(-1, channels, self.features), (len(z), *own.shape[-2:])
            )
            offsets = (z @ of_vector[0, 0] + bias.reshape(1, -1)).astype(z.dtype)[:, None]
            ones = jnp.ones((height, width, 1), z.dtype)
            features = jnp.concatenate([positions, ones], axis=-1)
            return map_positions(features, jnp.concatenate([own, offsets], axis=1))
        cases = _sum_visible_taps(_sum_visible_taps(of_vector, axis=0), axis=1)
        # Terms shared by pixels are added in float32, so that their gradients are summed in it.
        exact = jnp.promote_types(z.dtype, jnp.float32)
        table = jnp.einsum("nd,ijdo->nijo", z, cases).astype(exact)
        repeat = partial(_repeat_interior, pad=size // 2)
        table = repeat(repeat(table, axis=1, extent=height), axis=2, extent=width)
        shared = conv2d(positions[None], of_position) + bias.reshape(1, 1, 1, -1)
        y = (table + shared).astype(z.dtype)
        return y if maps is None else y + map_positions(positions, maps)


@jax.custom_vjp
def map_positions(positions: Array, maps: Array) -> Array:
    """Multiply features [H, W, P] by maps [N, P, O] → [N, H, W, O].

    The features are repeated N times for a batched product. All cells of a program share that
    copy, while a product without it would transpose its large result each time. The gradient uses
    a transposed copy, also shared, which makes it 1.5 times as fast.
    """
    height, width, channels = positions.shape
    repeated = jnp.broadcast_to(
        positions.reshape(1, -1, channels), (len(maps), height * width, channels)
    )
    return (repeated @ maps).reshape(len(maps), height, width, -1)


def _map_positions_fwd(positions: Array, maps: Array) -> tuple[Array, tuple[Array, Array]]:
    return map_positions(positions, maps), (positions, maps)


def _map_positions_bwd(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    positions, maps = residuals
    channels = positions.shape[-1]
    transposed = lax.optimization_barrier(positions.reshape(-1, channels).T)
    transposed = jnp.broadcast_to(transposed, (len(maps), *transposed.shape))
    of_maps = transposed @ g.reshape(len(maps), -1, g.shape[-1])
    # The features are constants, so XLA removes this product from the program.
    return jnp.einsum("nhwo,npo->hwp", g, maps), of_maps


map_positions.defvjp(_map_positions_fwd, _map_positions_bwd)


def _sum_visible_taps(kernel: Array, *, axis: int) -> Array:
    """Sum the taps that fall inside the image, for each of the k cases along an axis."""
    size = kernel.shape[axis]
    p = size // 2
    # Case i < p: the first p − i taps hang over the low border; case p: all inside; then high.
    bounds = [(p - i, size) for i in range(p)] + [(0, size - i) for i in range(p + 1)]
    sums = [lax.slice_in_dim(kernel, lo, hi, axis=axis).sum(axis) for lo, hi in bounds]
    return jnp.stack(sums, axis=axis)


def _repeat_interior(table: Array, *, axis: int, extent: int, pad: int) -> Array:
    """Repeat the middle one of the k border cases until an axis has all of its pixels."""
    low, interior, high = jnp.split(table, [pad, pad + 1], axis=axis)
    shape = list(interior.shape)
    shape[axis] = extent - 2 * pad
    return jnp.concatenate([low, jnp.broadcast_to(interior, shape), high], axis=axis)
