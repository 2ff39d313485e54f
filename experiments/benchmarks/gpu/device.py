"""(a) The device: versions, and its speed in matrix products, copies and small steps.

python -m experiments.benchmarks.gpu.device [--output=FILE.json] [--tiny]
"""

import importlib.metadata
import platform
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.conv_in_scan import seconds
from experiments.benchmarks.gpu.results import Rows, read_rows
from experiments.benchmarks.gpu.step import PRECISIONS, parse, start_jax

PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "flax", "optax", "orbax-checkpoint", "grain")
REPEATS = 9
SMALL_STEPS = 1000  # iterations of a loop; each is a tiny kernel


def median(function: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a compiled function."""
    return statistics.median(seconds(function, *arguments, repeats=REPEATS))


def versions() -> dict[str, str]:
    """Packages, device and driver."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    found["device"] = f"{len(jax.devices())} × {device.device_kind} ({device.platform})"
    query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        found["driver, memory"] = told.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found["driver, memory"] = "no nvidia-smi"
    return found


def product(precision: str, size: int) -> float:
    """TFLOP/s of a product of square matrices of random numbers."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    function = jax.jit(lambda a: jnp.matmul(a, a, precision=PRECISIONS[precision]))
    return 2e-12 * size**3 / median(function, matrix)


def copy(megabytes: int) -> float:
    """GB/s that an addition of one reads and writes."""
    numbers = jax.random.normal(jax.random.key(0), (megabytes * 2**18,))
    return 2e-9 * numbers.nbytes / median(jax.jit(lambda x: x + 1), numbers)


def upload(megabytes: int) -> float:
    """GB/s from the host's memory to the device's."""
    numbers = np.random.default_rng(0).integers(0, 256, megabytes * 2**20, np.uint8)
    return 1e-9 * numbers.nbytes / median(jax.device_put, numbers)


def dispatch() -> float:
    """Microseconds of a call that does next to nothing, until its result is there."""
    return 1e6 * median(jax.jit(lambda x: x + 1), jnp.zeros(()))


def small_step() -> float:
    """Microseconds per iteration of a loop on the device that does next to nothing."""

    def loop(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, SMALL_STEPS, lambda _, y: jnp.sin(y), x)

    return 1e6 * median(jax.jit(loop), jnp.ones((8, 128))) / SMALL_STEPS


def ceiling(path: Path, precision: str) -> float | None:
    """TFLOP/s of a product of matrices, from the result of this step."""
    found = [row["figure"] for row in read_rows(path) if row["what"] == f"product, {precision}"]
    return float(found[0]) if found else None


def main() -> None:
    step = parse(__doc__)
    start_jax("float32")
    rows = Rows(step.output)
    for name, version in versions().items():
        rows.add(what=name, figure=version)
    size, megabytes = (256, 1) if step.tiny else (8192, 2048)
    for precision in ("bfloat16", "tf32", "float32"):
        rows.add(what=f"product, {precision}", figure=product(precision, size), unit="TFLOP/s")
    rows.add(what="copy, read and write", figure=copy(megabytes), unit="GB/s")
    rows.add(what="upload", figure=upload(min(megabytes, 256)), unit="GB/s")
    rows.add(what="call", figure=dispatch(), unit="µs")
    rows.add(what="turn of a loop", figure=small_step(), unit="µs")


if __name__ == "__main__":
    main()
