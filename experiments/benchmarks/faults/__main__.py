"""Try many faults, and print how many of each kind were survived.

    python -m experiments.benchmarks.faults --minutes=10 --seed=0
    python -m experiments.benchmarks.faults --bars --output=faults.json

Kinds: trainings that are killed, or get one or two signals, at random moments; they are resumed and
must end bit by bit like an undisturbed one; full disks and quotas; single flipped bits in files of
checkpoints and released models; mutated inputs of all readers. A fault is survived if there is no
hang, no traceback, no crash, no silent difference, and no loss of good data. Seed, kind and number
determine an attempt: ``--kinds=inputs --first=17 --count=1`` repeats one. The exit code is 1 unless
all were survived.
"""

import argparse
import functools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from experiments.benchmarks.faults.disks import Disks
from experiments.benchmarks.faults.fault import Fault, Kind
from experiments.benchmarks.faults.flips import Flips
from experiments.benchmarks.faults.inputs import Inputs
from experiments.benchmarks.faults.interruptions import Kills, Signals
from experiments.benchmarks.faults.worker import Worker

KINDS: Mapping[str, Callable[[Path], Kind]] = {
    "kills": Kills,
    "signals": Signals,
    "disks": Disks,
    "flips": lambda folder: Worker(Flips, folder),
    "inputs": lambda folder: Worker(Inputs, folder),
}
# So many attempts of each kind are what a release must survive.
BARS = {"kills": 100, "signals": 100, "disks": 50, "flips": 500, "inputs": 5000}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, help="stop then; default: 10, or none with --bars")
    parser.add_argument("--bars", action="store_true", help=f"try {BARS}")
    parser.add_argument("--count", type=int, help="try so many of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="default: %(default)s")
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON; kinds that were not tried are kept")
    parser.add_argument("--folder", type=Path, help="of the attempts; default: a temporary one")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.kinds.split(",")) - KINDS.keys())
    if unknown:
        parser.error(f"no kind {unknown[0]!r}: expected some of {', '.join(KINDS)}")
    wanted = {name: options.count or BARS[name] for name in options.kinds.split(",")}
    minutes = options.minutes or (None if options.bars or options.count else 10.0)
    with tempfile.TemporaryDirectory(prefix="faults_") as temporary:
        folder = options.folder or Path(temporary)
        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        tallies: dict[str, Any] = {}
        for tallies in _soak(wanted, folder, deadline, seed=options.seed, first=options.first):
            if options.output:  # now, as whoever stops this wants to know
                _write(options.output, tallies, seed=options.seed)
    for name, tally in tallies.items():
        print(f"{name:>8} {tally['tried']:>6} tried {tally['survived']:>6} survived")
    return 0 if all(tally["survived"] == tally["tried"] for tally in tallies.values()) else 1


def _soak(
    wanted: Mapping[str, int], folder: Path, deadline: float | None, *, seed: int, first: int
) -> Iterator[dict[str, Any]]:
    """Try kinds in proportion to their wanted counts, each at least once.

    Yields:
      After each attempt, for each kind: how many were tried and survived, the seconds that they
      took, and the faults.
    """
    tallies: dict[str, Any] = {
        name: {"tried": 0, "survived": 0, "seconds": 0.0, "faults": []} for name in wanted
    }
    kinds = {name: KINDS[name](folder / name) for name in wanted}

    def attempt(name: str, function: Callable[[], None], number: int) -> bool:
        began = time.monotonic()
        try:
            function()
        except Fault as fault:
            tallies[name]["faults"].append({"number": number, "fault": str(fault)[:1000]})
            print(f"{name} {number}: {fault}", file=sys.stderr, flush=True)
            return False
        finally:
            tallies[name]["seconds"] += time.monotonic() - began
        return True

    while deadline is None or time.monotonic() < deadline or not all(map(_tried, tallies.values())):
        name = min(wanted, key=lambda name: tallies[name]["tried"] / wanted[name])
        if tallies[name]["tried"] >= wanted[name]:
            break
        number = first + tallies[name]["tried"]
        chance = random.Random(f"{seed}/{name}/{number}")
        tallies[name]["tried"] += 1
        tallies[name]["survived"] += attempt(
            name, functools.partial(kinds[name].attempt, chance), number
        )
        yield tallies
    for name, kind in kinds.items():
        if not attempt(name, kind.close, first + tallies[name]["tried"] - 1):
            tallies[name]["survived"] -= 1
    yield tallies


def _tried(tally: Mapping[str, Any]) -> bool:
    return tally["tried"] > 0


def _write(path: Path, tallies: Mapping[str, Any], *, seed: int) -> None:
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rounded = {
        name: {**tally, "seconds": round(tally["seconds"]), "seed": seed}
        for name, tally in tallies.items()
    }
    path.write_text(json.dumps({**before, **rounded}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
