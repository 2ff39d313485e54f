"""Clips per second of training on one host device and on two.

    python -m experiments.benchmarks.scaling [--config quickstart iodine:quick] [--output FILE.json]

The same clips per device on both; one process each, which take turns. One device may still use
other cores for large products of matrices: ``--pin`` keeps its process on one core.
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
    load_config,
    timed_updates,
    use_devices,
)
from stiid.data import registry
from stiid.evaluate import write_json


def updates(name: str, devices: int, rows: int) -> Iterator[float]:
    use_devices(devices)
    experiment = experiment_of(load_config(name), batch_size=rows * devices)
    view = registry.view(experiment.data.name, **experiment.data.options)
    return timed_updates(experiment, (view.height, view.width, view.channels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=["quickstart", "iodine:quick"])
    parser.add_argument("--rows", type=int, default=4, help="clips per device")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        if options.pin and options.serve == 1:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return serve(updates(options.configs[0], options.serve, options.rows))
    result = {}
    for name in options.configs:
        command = [sys.executable, "-m", "experiments.benchmarks.scaling", f"--configs={name}"]
        command += [f"--rows={options.rows}", *(["--pin"] if options.pin else [])]
        sides = {count: Side([*command, f"--serve={count}"]) for count in (1, 2)}
        for _ in range(options.steps):
            for side in sides.values():
                side.do_step()
        rates = {
            str(count): [options.rows * count / seconds for seconds in side.seconds]
            for count, side in sides.items()
        }
        pairs = zip(rates["1"], rates["2"], strict=True)
        result[name] = {
            "clips_per_second": {k: round(statistics.median(v), 2) for k, v in rates.items()},
            "ratio": round(statistics.median(two / one for one, two in pairs), 2),
        }
        print(name, result[name], flush=True)
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
