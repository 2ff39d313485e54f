"""Compare updates of this checkout with those of another one, such as one before a change.

    python -m experiments.benchmarks.revisions --before CHECKOUT [--updates quickstart,stage_1 …] \\
        [--batch_size=2] [--output FILE.json]

It updates the stages of the configs for two cores on noise, with a host device for each core;
configs must be equal in both checkouts. ``in_one_part`` is the other checkout without
micro-batches. All three take turns; speedups over ``before`` and ``in_one_part`` are medians of
pairs.
"""

import argparse
import itertools
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.benchmarks.side import Side, serve
from experiments.benchmarks.updates import (
    experiment_of,
    named_config,
    timed_updates,
    use_devices,
)
from stiid.data import registry
from stiid.files import write_json

HERE = Path(__file__).parents[2]
STAGES = (
    "quickstart,stage_0",
    "quickstart,stage_1",
    "bouncing_balls:small_color,stage_11",
    "clevrer:small,stage_4",
)


def updates(name: str, stage: str, **changes: int) -> Iterator[float]:
    config = named_config(name)
    with config.unlocked():
        config.train.stages = {stage: config.train.stages[stage]}
    experiment = experiment_of(config, **changes)
    batch = experiment.train.stages[stage].batch_size
    # Imports nothing that another checkout may have elsewhere.
    cores = len(os.sched_getaffinity(0))
    use_devices(max(count for count in range(1, cores + 1) if batch % count == 0))
    view = registry.view(experiment.data.name, **experiment.data.options)
    return timed_updates(experiment, (view.height, view.width, view.channels))


def side(checkout: Path, update: str, options: list[str]) -> Side:
    """This file as a program on the modules of a checkout, in its folder."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, f"--updates={update}", "--serve", *options]
    return Side(command, cwd=checkout, env=environment)


def compare(before: Path, update: str, steps: int, options: list[str]) -> dict[str, Any]:
    """Medians of the seconds of an update, and of the ratios to this checkout's."""
    sides = {
        "now": side(HERE, update, options),
        "before": side(before, update, options),
        "in_one_part": side(before, update, [*options, "--in_one_part"]),
    }
    # All orders in turn: what runs after the largest update is slower by up to a tenth.
    for order in itertools.islice(itertools.cycle(itertools.permutations(sides)), steps):
        for name in order:
            sides[name].do_step()
    for one in sides.values():
        one.process.terminate()
    seconds = {name: one.seconds for name, one in sides.items()}

    def speedup(name: str) -> float:
        pairs = zip(seconds[name], seconds["now"], strict=True)
        return round(statistics.median(old / new for old, new in pairs), 2)

    return {
        "seconds": {name: round(statistics.median(some), 3) for name, some in seconds.items()},
        "speedup": {name: speedup(name) for name in ("before", "in_one_part")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout of the project")
    parser.add_argument("--updates", nargs="+", default=STAGES, help="CONFIG,STAGE …")
    parser.add_argument("--batch_size", type=int, help="in place of the configs'")
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--in_one_part", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        name, stage = options.updates[0].split(",")
        changes = {"micro_batches": 1} if options.in_one_part else {}
        if options.batch_size:
            changes["batch_size"] = options.batch_size
        return serve(updates(name, stage, **changes))
    if not options.before:
        parser.error("--before: name another checkout of this project")
    from experiments.commands import commit_of  # which a side's checkout need not have

    before = options.before.resolve()
    batch = [f"--batch_size={options.batch_size}"] if options.batch_size else []
    result: dict[str, Any] = {"commits": {"now": commit_of(HERE), "before": commit_of(before)}}
    for update in options.updates:
        result[update] = compare(before, update, options.steps, batch)
        print(update, result[update], flush=True)
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
