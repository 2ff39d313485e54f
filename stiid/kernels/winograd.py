"""3×3 convolutions with half the multiplications, for CPUs: Winograd's F(4, 3) over rows.

Four rows of output depend on six rows of input and three rows of the kernel: twelve convolutions of
a row with a kernel row. Six are enough if sums of input rows are convolved with sums of kernel rows
and the results are summed (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", section 4.3, which does the same along columns too). The kernel's gradient also takes
six.

Along rows alone, all sums are of whole rows, and the products remain convolutions, with 1×3
kernels, which XLA:CPU computes fast. At 5×64×64 pixels and 64 channels, one core takes 14 ms
instead of 18 for the convolution and an ELU (on another processor 16 instead of 25 without the
ELU), and 17 ms instead of 24 for the kernel's gradient. Tiles in both directions took 42 to 57 ms
where rows took 16, and computing one image or one band of rows at a time is no faster. Rounding
errors are at most about 4e-6 of the largest output.
"""

import jax
import jax.numpy as jnp
from jax import lax

from stiid.kernels.kernel_gradient import kernel_gradients
from stiid.kernels.plain_conv import plain_conv2d
from stiid.shapes import Array

_ROWS = 4  # of output at a time
# Interpolation at 0, ±1, ±2 and ∞: output = Aᵀ [(G kernel) * (B input)].
_INPUT = (  # B: 6 rows of input to 6 sums of rows
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (  # G: 3 rows of the kernel to 6 sums of kernel rows
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = (  # Aᵀ: 6 convolutions to 4 rows of output
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)
_MIN_CHANNELS = 64  # with 32, the sums cost as much time as fewer products save


def is_faster(x: Array, kernel: Array) -> bool:
    """Whether this form is the faster one for convolving ``x`` and for ``kernel``'s gradient."""
    size, _, *channels = kernel.shape
    rows_fit = size == 3 and x.shape[1] % _ROWS == 0
    return rows_fit and min(channels) >= _MIN_CHANNELS and x.dtype == jnp.float32


def winograd_conv2d(x: Array, kernel: Array) -> Array:
    """Convolve [N, H, W, I] with [3, 3, I, O], SAME, stride 1; H is a multiple of four."""
    count, height, width, _ = x.shape
    kernels = jnp.einsum("ia,abco->ibco", jnp.array(_KERNEL, x.dtype), kernel)
    rows = _sums(_INPUT, _overlapping_rows(x))
    products = [plain_conv2d(some, kernels[i, None]) for i, some in enumerate(rows)]
    return jnp.stack(_sums(_OUTPUT, products), axis=2).reshape(count, height, width, -1)


def winograd_kernel_gradient(x: Array, g: Array) -> Array:
    """Gradient [3, 3, I, O] of ``winograd_conv2d`` at its kernel, for gradients g [N, H, W, O]."""
    transposed = tuple(zip(*_OUTPUT, strict=True))
    outputs = _sums(transposed, [g[:, row::_ROWS] for row in range(_ROWS)])
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    # Without the barrier, XLA computes the sums again for every block of the products.
    pairs = (jnp.stack(_sums(_INPUT, _overlapping_rows(padded))), jnp.stack(outputs))
    gradients = kernel_gradients(*lax.optimization_barrier(pairs), size=(1, 3))
    return jnp.einsum("ia,ibco->abco", jnp.array(_KERNEL, x.dtype), gradients[:, 0])


def _overlapping_rows(x: Array) -> list[Array]:
    """The six input rows on which each four output rows depend: [N, H/4, W, I] each."""
    last = x.shape[1] - _ROWS + 1
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return [x[:, row : row + last : _ROWS] for row in range(_ROWS + 2)]


def _sums(matrix: tuple[tuple[float, ...], ...], terms: list[Array]) -> list[Array]:
    """Product of a matrix with a vector of arrays; zero entries are skipped."""
    return [
        jax.tree.reduce(jnp.add, [c * x for c, x in zip(row, terms, strict=True) if c])
        for row in matrix
    ]
