"""Seconds of an update for several numbers of ``micro_batches``.

    python -m experiments.benchmarks.micro_batches [--configs quickstart …] [--output FILE.json]

It measures the same update of 8 clips on one host device and one core. If a part is small, its
values stay in the core's cache. One process for each number of parts; they take turns.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.side import Side, serve
from experiments.benchmarks.updates import (
    experiment_of,
    named_config,
    timed_updates,
    use_devices,
)
from stiid.data import registry
from stiid.files import write_json

PARTS = (1, 2, 4, 8)


def updates(name: str, parts: int, frames: int) -> Iterator[float]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    use_devices(1)
    stage = {"batch_size": 8, "micro_batches": parts, "num_frames": frames}
    experiment = experiment_of(named_config(name), **stage)
    view = registry.view(experiment.data.name, **experiment.data.options)
    return timed_updates(experiment, (view.height, view.width, view.channels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ["quickstart", "bouncing_balls:small_color"]
    parser.add_argument("--configs", nargs="+", default=known)
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(updates(options.configs[0], options.serve, options.frames[0]))
    result = []
    for name in options.configs:
        for frames in options.frames:
            command = [sys.executable, "-m", "experiments.benchmarks.micro_batches"]
            command += [f"--configs={name}", f"--frames={frames}"]
            sides = {parts: Side([*command, f"--serve={parts}"]) for parts in PARTS}
            for _ in range(options.steps):
                for side in sides.values():
                    side.do_step()
            for side in sides.values():
                side.process.terminate()
            seconds = {parts: side.seconds for parts, side in sides.items()}
            ratios = {
                parts: [whole / own for whole, own in zip(seconds[1], some, strict=True)]
                for parts, some in seconds.items()
            }
            row = {
                "config": name,
                "frames": frames,
                "seconds": {n: round(statistics.median(some), 3) for n, some in seconds.items()},
                "speedup": {n: round(statistics.median(some), 2) for n, some in ratios.items()},
            }
            result.append(row)
            print(row, flush=True)
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
