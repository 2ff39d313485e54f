"""Shared parts of steps: command line, deadline, precision of products, and small sizes."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.benchmarks.updates import use_devices
from experiments.commands import leave_on_sigterm

# What XLA is asked for in products and convolutions of float32 numbers. On GPUs with TensorFloat-32
# the default rounds their operands to its 10 bits of significand; on CPUs both are the same.
PRECISIONS = {"float32": "highest", "tf32": "default", "bfloat16": "default"}


class Step(NamedTuple):
    """The options of a step's command."""

    output: Path  # JSON
    deadline: float  # of ``time.monotonic``
    tiny: bool
    rest: argparse.Namespace

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.deadline - time.monotonic()


def parse(doc: str, *options: str, argv: Sequence[str] | None = None) -> Step:
    """Read a step's command line, and let SIGTERM end what the step has started.

    Args:
      doc: of the module.
      *options: names of further options, each a text that may be missing.
      argv: the arguments; None: of this process.
    """
    leave_on_sigterm()
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    output = Path("runs", "gpu", f"{Path(sys.argv[0]).stem}.json")
    parser.add_argument("--output", type=Path, default=output)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--tiny", action="store_true", help="sizes for a test on a CPU")
    for option in options:
        parser.add_argument(option, nargs="?", const="yes", default="")
    known = parser.parse_args(argv)
    return Step(known.output, time.monotonic() + known.seconds, known.tiny, known)


def start_jax(precision: str) -> None:
    """Set the precision of products, and one device if there is no accelerator.

    Args:
      precision: one of ``PRECISIONS``; of "bfloat16" the config says the rest.
    """
    use_devices(1)
    jax.config.update("jax_default_matmul_precision", PRECISIONS[precision])


def on_gpu() -> bool:
    return jax.default_backend() == "gpu"


def peak_gb() -> float | None:
    """Peak memory of this process on the device, if the device reports it."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return None if peak is None else peak / 1e9


def shrink(config: Any, *, features: int = 8) -> Any:
    """The paper's model with the same parts, few channels and few refinements."""
    model = config.model
    model.latent_size = features
    model.num_slots = 3
    model.decoder.update(features=features, layers=2, mlp_features=features)
    model.refiner.update(features=features, layers=2, hidden=features, lstm_features=features)
    model.prior.features = features
    model.inference.refinements = min(model.inference.refinements, 2)
    return config


def environment(programs: Path) -> dict[str, str]:
    """Environment of all steps' processes, which share the device's memory and a program cache."""
    own = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    return {**own, **os.environ}
