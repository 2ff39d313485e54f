"""Clips per second of training on one and two host devices, and on one and two cores.

    python -m experiments.benchmarks.scaling [--configs quickstart …] [--output FILE.json]

All layouts have the same number of clips per device, and take turns:

    one_device   one device, which may use other cores for large matrix products
    two_devices  two devices of one process, which share each batch
    one_core     one device, limited to one core
    core_each    two such processes at once, one core each, which share nothing: an upper bound of
                 two devices
"""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
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

# of each process: devices, and the core that it is kept to
LAYOUTS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "one_device": ((1, None),),
    "two_devices": ((2, None),),
    "one_core": ((1, 0),),
    "core_each": ((1, 0), (1, 1)),
}


def updates(name: str, devices: int, rows: int) -> Iterator[float]:
    use_devices(devices)
    experiment = experiment_of(named_config(name), batch_size=rows * devices)
    view = registry.view(experiment.data.name, **experiment.data.options)
    return timed_updates(experiment, (view.height, view.width, view.channels))


def side(command: Sequence[str], devices: int, core: int | None) -> Side:
    pin = [] if core is None else [f"--core={core}"]
    return Side([*command, f"--serve={devices}", *pin])


def compare(command: Sequence[str], steps: int, rows: int) -> dict[str, object]:
    """Clips per second of each layout: medians, and ratios of what ran one after the other."""
    sides = {name: [side(command, *process) for process in LAYOUTS[name]] for name in LAYOUTS}
    rates: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    for _ in range(steps):
        for name, processes in sides.items():
            for process in processes:
                process.start_step()
            for process in processes:
                process.end_step()
            clips = [rows * devices for devices, _ in LAYOUTS[name]]
            rates[name].append(
                sum(n / p.seconds[-1] for n, p in zip(clips, processes, strict=True))
            )

    def ratio(above: str, below: str) -> float:
        pairs = zip(rates[above], rates[below], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    return {
        "clips_per_second": {k: round(statistics.median(v), 2) for k, v in rates.items()},
        "two_devices_to_one_device": ratio("two_devices", "one_device"),
        "two_devices_to_one_core": ratio("two_devices", "one_core"),
        "core_each_to_one_core": ratio("core_each", "one_core"),
        "two_devices_to_core_each": ratio("two_devices", "core_each"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=["quickstart", "iodine:quick"])
    parser.add_argument("--rows", type=int, default=4, help="clips per device")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        if options.core is not None:
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[options.core]})
        return serve(updates(options.configs[0], options.serve, options.rows))
    result = {}
    for name in options.configs:
        command = [sys.executable, "-m", "experiments.benchmarks.scaling", f"--configs={name}"]
        command += [f"--rows={options.rows}"]
        result[name] = compare(command, options.steps, options.rows)
        print(name, result[name], flush=True)
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
