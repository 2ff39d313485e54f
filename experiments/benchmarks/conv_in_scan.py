"""Compare the speed of convolution gradients inside and outside ``lax.scan``.

    python -m experiments.benchmarks.conv_in_scan [--plain]

Four chained 3×3 convolutions of 64 channels on 64×64 images, forward and backward, on one device.
``--plain`` adds XLA's own gradient inside the scan, which takes minutes on CPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from stiid.kernels.conv import conv2d, plain_conv2d
from stiid.kernels.elu import elu

BATCH, SIZE, FEATURES, LAYERS, LENGTH = 5, 64, 64, 4, 3


def gradients(conv: Callable[..., jax.Array], kernels: list[jax.Array], x: jax.Array) -> Any:
    def energy(kernels: list[jax.Array], x: jax.Array) -> jax.Array:
        for kernel in kernels:
            x = elu(conv(x, kernel))
        return (x**2).sum()

    return jax.grad(energy, argnums=(0, 1))(kernels, x)


def scanned(conv: Callable[..., jax.Array], kernels: list[jax.Array], xs: jax.Array) -> Any:
    def step(total: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        of_kernels, of_x = gradients(conv, kernels, x)
        return jax.tree.map(jnp.add, total, of_kernels), of_x.sum()

    return jax.lax.scan(step, jax.tree.map(jnp.zeros_like, kernels), xs)


def seconds(function: Callable[..., Any], *arguments: Any, repeats: int) -> list[float]:
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", action="store_true", help="time XLA's own gradient as well")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    keys = jax.random.split(jax.random.key(0), LAYERS + 1)
    kernels = [0.05 * jax.random.normal(k, (3, 3, FEATURES, FEATURES)) for k in keys[1:]]
    xs = jax.random.normal(keys[0], (LENGTH, BATCH, SIZE, SIZE, FEATURES))
    # forward, input gradient and kernel gradient of every layer
    flops = 3 * LAYERS * 2 * 9 * FEATURES**2 * BATCH * SIZE**2

    outside, inside = [], []
    once = jax.jit(lambda kernels, x: gradients(conv2d, kernels, x))
    many = jax.jit(lambda kernels, xs: scanned(conv2d, kernels, xs))
    for _ in range(arguments.repeats):  # in turn, so that the machine's drift cancels
        outside += seconds(once, kernels, xs[0], repeats=1)
        inside += [t / LENGTH for t in seconds(many, kernels, xs, repeats=1)]
    ratios = [a / b for a, b in zip(outside, inside, strict=True)]
    print(f"outside a scan  {flops / statistics.median(outside) / 1e9:7.1f} GFLOP/s")
    print(f"inside a scan   {flops / statistics.median(inside) / 1e9:7.1f} GFLOP/s")
    print(f"ratio           {statistics.median(ratios):7.2f}  (median of {len(ratios)} pairs)")
    if arguments.plain:
        plain = jax.jit(lambda kernels, xs: scanned(plain_conv2d, kernels, xs))
        slow = seconds(plain, kernels, xs[:1], repeats=1)[0]
        print(f"plain in a scan {flops / slow / 1e9:7.1f} GFLOP/s")


if __name__ == "__main__":
    main()
