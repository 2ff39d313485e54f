"""(c) Compare forms of convolutions: layouts, number formats, in a loop, and those for CPUs.

    python -m experiments.benchmarks.gpu.convolutions [--output=FILE.json] [--tiny]

Four chained 3×3 convolutions of 64 channels with ELUs, forward and backward, on as many images as a
batch of 32 videos has slots. The first row is the form that models use on a GPU.
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.conv_in_scan import gradients, scanned, seconds
from experiments.benchmarks.gpu.results import Rows
from experiments.benchmarks.gpu.step import PRECISIONS, parse, start_jax
from stiid.kernels.conv import conv2d
from stiid.kernels.plain_conv import plain_conv2d
from stiid.kernels.winograd import winograd_conv2d

LAYERS, LOOPS = 4, 3


def channels_first(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same chain for images [N, C, H, W]."""
    layout = ("NCHW", "HWIO", "NCHW")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


# Form, precision, inside a loop; the most telling first.
CASES: tuple[tuple[str, Callable[..., jax.Array], str, bool], ...] = (
    ("as in the models", conv2d, "tf32", False),
    ("as in the models", conv2d, "bfloat16", False),
    ("channels first", channels_first, "tf32", False),
    ("channels first", channels_first, "bfloat16", False),
    ("as in the models, in a loop", conv2d, "tf32", True),
    ("as in the models", conv2d, "float32", False),
    ("channels first", channels_first, "float32", False),
    ("Winograd's over rows", winograd_conv2d, "float32", False),
    ("plain", plain_conv2d, "tf32", False),
)


def rate(
    conv: Callable[..., jax.Array],
    precision: str,
    *,
    loop: bool,
    images: int,
    size: int,
    width: int,
) -> float:
    """TFLOP/s of the chain, forward and backward."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    keys = jax.random.split(jax.random.key(0), LAYERS + 1)
    kernels = [0.05 * jax.random.normal(k, (3, 3, width, width), dtype) for k in keys[1:]]
    shape = (images, width, size, size) if conv is channels_first else (images, size, size, width)
    x = jax.random.normal(keys[0], (LOOPS, *shape) if loop else shape, dtype)
    flops = 3 * LAYERS * 2 * 9 * width**2 * images * size**2

    def run(kernels: Any, x: jax.Array) -> Any:
        return (scanned if loop else gradients)(conv, kernels, x)

    with jax.default_matmul_precision(PRECISIONS[precision]):
        times = seconds(jax.jit(run), kernels, x, repeats=7)
    return 1e-12 * flops * (LOOPS if loop else 1) / statistics.median(times)


def main() -> None:
    step = parse(__doc__)
    start_jax("float32")
    rows = Rows(step.output)
    sizes = {"images": 2, "size": 8, "width": 8} if step.tiny else {}
    sizes = sizes or {"images": 160, "size": 64, "width": 64}
    for form, conv, precision, loop in CASES[:2] if step.tiny else CASES:
        figure = rate(conv, precision, loop=loop, **sizes)
        rows.add(form=form, precision=precision, tflops=figure)


if __name__ == "__main__":
    main()
