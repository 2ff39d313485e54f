"""Gradients of convolutions with respect to their kernels, by products that fit the cache.

XLA:CPU's own gradient is slow inside loops (``kernels.conv``), and one product over all pixels
moves every shifted copy of the images through memory. Here each product covers about 256 pixels.
The side with fewer channels is the one that is shifted, and its copies are transposed first. Times
at 5×64×64 pixels on one core, with 64 channels on both sides, and with 64 and 4:

* these blocks: 24 and 2.1 ms;
* blocks without the transposition: 37 and 2.0 ms;
* one product for each shift of the input: 55 and 3.8 ms;
* one product over all pixels: 68 and 2.9 ms.

Blocks are summed in float32: in bfloat16 a large sum would round small terms away.
"""

import jax.numpy as jnp
from jax import lax

from stiid.shapes import Array

_BLOCK_PIXELS = 256
_FEW_WEIGHTS = 1024


def kernel_gradient(x: Array, g: Array, *, size: tuple[int, int]) -> Array:
    """Gradient of a stride-1 SAME convolution with respect to its kernel.

    Args:
      x: its input [N, H, W, I].
      g: the gradient with respect to its output [N, H, W, O].
      size: rows and columns of the kernel, both odd.

    Returns:
      [*size, I, O], in the number format of g.
    """
    if x.shape[-1] > g.shape[-1]:  # Σ_p x[p + d] g[p] = Σ_p x[p] g[p − d]
        return jnp.swapaxes(kernel_gradient(g, x, size=size)[::-1, ::-1], 2, 3)
    below, beside = size[0] // 2, size[1] // 2
    x = jnp.pad(x, ((0, 0), (below, below), (beside, beside), (0, 0)))
    return kernel_gradients(x[None], g[None], size=size)[0]


def kernel_gradients(x: Array, g: Array, *, size: tuple[int, int]) -> Array:
    """Gradients with respect to the kernels of G convolutions whose inputs are padded already.

    Args:
      x: the inputs [G, N, H + rows − 1, W + columns − 1, I].
      g: the gradients with respect to the outputs [G, N, H, W, O].
      size: rows and columns of the kernels.

    Returns:
      [G, *size, I, O], in the number format of g.
    """
    groups, count, height, width, out_features = g.shape
    features = x.shape[-1]
    images, rows = _block(count, height, width)
    bands = height // rows
    exact = jnp.promote_types(g.dtype, jnp.float32)

    def gradient(group: Array) -> Array:
        def add(total: Array, block: Array) -> tuple[Array, None]:
            start = (group, block // bands * images, block % bands * rows, 0, 0)
            window = (1, images, rows + size[0] - 1, width + size[1] - 1, features)
            seen = lax.dynamic_slice(x, start, window)[0]
            out = lax.dynamic_slice(g, start, (1, images, rows, width, out_features))
            shifted = [
                seen[:, i : i + rows, j : j + width] for i in range(size[0]) for j in range(size[1])
            ]
            patches = jnp.concatenate(shifted, axis=-1).reshape(-1, len(shifted) * features)
            transposed = lax.optimization_barrier(patches.T)
            out = out.reshape(-1, out_features)
            return total + jnp.matmul(transposed, out, preferred_element_type=exact), None

        zeros = jnp.zeros((size[0] * size[1] * features, out_features), exact)
        return lax.scan(add, zeros, jnp.arange(count // images * bands))[0]

    totals = lax.map(gradient, jnp.arange(groups))
    return totals.reshape(groups, *size, features, out_features).astype(g.dtype)


def pixelwise_kernel_gradient(x: Array, g: Array) -> Array:
    """Gradient of a 1×1 convolution with respect to its kernel, Σ_p x[p] g[p]ᵀ.

    Small kernels are computed as sums of scaled rows: at 5×32×32 pixels with 32 channels this takes
    50 µs of a core for 4 outputs and 170 µs for 32, where XLA:CPU's product takes 320 and 260 µs.
    Larger kernels are computed as a product whose narrower side is transposed first (patches of 144
    and 288 channels with 32 outputs: 80 GFLOP/s of a core instead of 40 to 80).

    Args:
      x: its input [..., I].
      g: the gradient with respect to its output [..., O].

    Returns:
      [I, O], in the number format of g.
    """
    pixels, out = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    if pixels.shape[-1] * out.shape[-1] <= _FEW_WEIGHTS:
        exact = jnp.promote_types(g.dtype, jnp.float32)
        return (pixels[:, None].astype(exact) * out[:, :, None]).sum(0).T.astype(g.dtype)
    if out.shape[-1] < pixels.shape[-1]:
        return (lax.optimization_barrier(out.T) @ pixels).T
    return lax.optimization_barrier(pixels.T) @ out


def _block(count: int, height: int, width: int) -> tuple[int, int]:
    """Images and rows of a block: equal blocks, as large as possible, of about 256 pixels."""

    def largest_divisor(number: int, bound: int) -> int:
        return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(bound, 1))

    if height * width > _BLOCK_PIXELS:
        return 1, largest_divisor(height, _BLOCK_PIXELS // width)
    return largest_divisor(count, _BLOCK_PIXELS // (height * width)), height
