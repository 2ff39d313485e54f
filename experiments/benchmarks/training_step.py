"""Compare a training step of IODINE with that of the PyTorch implementation, on the same work.

    python -m experiments.benchmarks.training_step [--peer CHECKOUT [--peer_python PYTHON]]

64×64 RGB, K = 5, 6 evaluations and 5 refinements of a batch of 2, gradients clipped, Adam: what
``configs/iodine.py:color`` does in one update, on as many host devices as there are cores.
``--peer`` is a checkout of github.com/MichaelKevinKelly/IODINE at c2c22df, ``--peer_python`` an
interpreter that has PyTorch. Each side is a process; they take turns, step by step, so that
disturbances affect both. The first two steps, which compile, are counted separately.

``--peer_provide`` compares the paper's system instead: ``configs/provide.py:color`` on 4 frames,
SqueezeNet included, with a checkout of github.com/BorealisAI/PROVIDE at ad0b9ef. A third side,
"in_turn", is ours with one clip after the other on all cores, which takes less memory.

GFLOP are those of the PyTorch implementation's layers (213 per image) on both sides; for
comparison, the machine's speed in matrix products is given.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks.side import Side, serve
from experiments.benchmarks.updates import experiment_of, timed_updates, use_devices
from experiments.config_files import load_config
from stiid.data.workers import available_cores
from stiid.files import write_json
from stiid.training.devices import host_device_count

BATCH, SLOTS, EVALUATIONS = 2, 5, 6
GFLOP = 213 * BATCH
FRAMES = 4  # of a clip, with ``--peer_provide``
PEER = Path(__file__).with_name("peer_iodine.py")
PEER_PROVIDE = Path(__file__).with_name("peer_provide.py")


def steps_of_ours() -> Iterator[float]:
    """Seconds of one update after the other."""
    use_devices(host_device_count(available_cores(), (BATCH,), num_processes=1))
    config = load_config("iodine:color")
    config.model.num_slots = SLOTS
    config.model.inference.refinements = EVALUATIONS - 1
    config.model.inference.remat = False
    return timed_updates(experiment_of(config, batch_size=BATCH, num_frames=1), (64, 64, 3))


def steps_of_provide(*, in_turn: bool = False) -> Iterator[float]:
    """Seconds of one update of ``configs/provide.py:color`` after the other.

    Args:
      in_turn: one clip after the other on all cores, instead of one on each device.
    """
    devices = 1 if in_turn else host_device_count(available_cores(), (BATCH,), num_processes=1)
    use_devices(devices)
    config = load_config("provide:color")
    config.model.inference.remat = False
    micro_batches = BATCH if in_turn else 1
    experiment = experiment_of(
        config, batch_size=BATCH, num_frames=FRAMES, micro_batches=micro_batches
    )
    return timed_updates(experiment, (64, 64, 3))


def peak() -> float:
    """GFLOP/s of a product of matrices, on all cores."""
    size = 2048
    matrix = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    product(matrix).block_until_ready()
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        product(matrix).block_until_ready()
        times.append(time.perf_counter() - begin)
    return 2e-9 * size**3 / statistics.median(times)


def summary(side: Side) -> dict[str, Any]:
    median = statistics.median(side.seconds)
    return {
        "seconds": round(median, 3),
        "fastest": round(min(side.seconds), 3),
        "peak_gb": round(side.peak_gb, 2),
        "first_steps": [round(x, 1) for x in side.first],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peer_provide", type=Path)
    parser.add_argument("--peer_python", default=sys.executable)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--serve", choices=("ours", "provide", "in_turn", "peak"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.serve == "ours":
        return serve(steps_of_ours())
    if options.serve == "provide":
        return serve(steps_of_provide())
    if options.serve == "in_turn":
        return serve(steps_of_provide(in_turn=True))
    if options.serve == "peak":
        return print(peak())

    this = [sys.executable, "-m", "experiments.benchmarks.training_step", "--serve"]
    ceiling = float(subprocess.run([*this, "peak"], stdout=subprocess.PIPE, check=True).stdout)
    sides = {"ours": Side([*this, "provide" if options.peer_provide else "ours"])}
    sizes = [str(n) for n in (BATCH, SLOTS, EVALUATIONS)]
    if options.peer_provide:
        command = [options.peer_python, str(PEER_PROVIDE), str(options.peer_provide)]
        sides["peer"] = Side([*command, *sizes, str(FRAMES)])
        sides["in_turn"] = Side([*this, "in_turn"])
    elif options.peer:
        sides["peer"] = Side([options.peer_python, str(PEER), str(options.peer), *sizes])
    for _ in range(options.steps):
        for side in sides.values():
            side.do_step()
    result: dict[str, Any] = {name: summary(side) for name, side in sides.items()}
    if not options.peer_provide:
        for side in result.values():
            side["gflop_per_second"] = round(GFLOP / side["seconds"], 1)
    result["matrix_product_gflop_per_second"] = round(ceiling, 1)
    if "peer" in sides:
        for name in [name for name in sides if name != "peer"]:
            pairs = zip(sides["peer"].seconds, sides[name].seconds, strict=True)
            ratio = statistics.median(peer / ours for peer, ours in pairs)
            result[name]["times_as_fast"] = round(ratio, 2)
    print(json.dumps(result, indent=2))
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
