"""Check in minutes whether a GPU works, computes correct results, and how fast it is.

    python -m experiments.benchmarks.gpu --output=DIR [--minutes=9] [--only device correctness …]
        [--peer=CHECKOUT] [--peer_provide=CHECKOUT] [--peer_python=PYTHON] [--tiny]

Each step is a separate command (see the modules); the most important one is first. Each has a share
of the minutes, and time that it leaves goes to later steps. A step that crashes, hangs or runs out
of memory does not affect the others. ``DIR/STEP.json`` has the figures as they are measured,
``DIR/logs`` the output of the steps, ``DIR/summary.md`` all tables. ``--peer…``: see ``peers``.
``--tiny`` tests all steps on a CPU.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.benchmarks.gpu.results import markdown, read_rows
from experiments.benchmarks.gpu.step import environment
from experiments.benchmarks.gpu.watchdog import DONE, GRACE, Outcome, watch
from experiments.commands import leave_on_sigterm


class Plan(NamedTuple):
    """A step and its share of the time."""

    name: str  # of its module
    title: str
    share: float  # of the whole; the last one has what is left
    peers: bool = False  # whether it takes the options of that name


PLANS = (
    Plan("device", "Device", 0.06),
    Plan("correctness", "Gradients and scores against a CPU's", 0.15),
    Plan("update_speed", "Updates", 0.28),
    Plan("convolutions", "Convolutions", 0.05),
    Plan("peers", "Against PyTorch", 0.11, peers=True),
    Plan("streams", "Decomposing videos", 0.06),
    Plan("training", "Training", 0.29),
)
PEERS = ("peer", "peer_provide", "peer_python")


def main(argv: Sequence[str] | None = None) -> int:
    names = [plan.name for plan in PLANS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--tiny", action="store_true")
    for name in PEERS:
        parser.add_argument(f"--{name}", default="")
    options = parser.parse_args(argv)
    folder = options.output.absolute()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    chosen = [plan for plan in PLANS if plan.name in options.only]
    deadline, ended = time.monotonic() + 60.0 * options.minutes - GRACE, {}
    for i, plan in enumerate(chosen):
        left = deadline - time.monotonic()
        seconds = left * plan.share / sum(other.share for other in chosen[i:])
        print(f"{plan.name}: {seconds:.0f} s …", flush=True)
        command = [sys.executable, "-m", f"experiments.benchmarks.gpu.{plan.name}"]
        command += [f"--output={folder / plan.name}.json", f"--seconds={seconds}"]
        command += ["--tiny"] * options.tiny
        if plan.peers:
            command += [f"--{name}={getattr(options, name)}" for name in PEERS]
        log = folder / "logs" / f"{plan.name}.log"
        ended[plan.name] = watch(
            command, seconds=seconds, log=log, env=environment(folder / "programs")
        )
        text = summary(folder, chosen, ended)
        (folder / "summary.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(outcome.status != DONE for outcome in ended.values()))


def summary(folder: Path, chosen: Sequence[Plan], ended: dict[str, Outcome]) -> str:
    """All tables, and how each step ended."""
    lines = []
    for plan in chosen:
        if plan.name in ended:
            outcome = ended[plan.name]
            reason = f": {outcome.last_line}" if outcome.last_line else ""
            lines += [f"## {plan.title}", ""]
            lines += [f"`{plan.name}`: {outcome.status} ({outcome.seconds:.0f} s){reason}", ""]
            rows = read_rows(folder / f"{plan.name}.json")
            lines += [*markdown(rows), ""] if rows else []
    return "\n".join(lines)


if __name__ == "__main__":
    leave_on_sigterm()
    raise SystemExit(main())
