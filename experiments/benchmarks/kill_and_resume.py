"""Kill a training run at random moments, resume it each time, and compare it with one left alone.

    python -m experiments.benchmarks.kill_and_resume --workdir=runs/kill_and_resume --kills=10

trains ``--config`` (by default the tests' tiny experiment, made longer) twice: once undisturbed,
once killed with SIGKILL again and again. Every second kill comes at a random moment of the start,
every other one a random time after the resumed run has logged its first step. It ends with a table,
and with exit code 1 unless parameters, optimizer state, log and scores are equal bit by bit.
Further arguments, such as ``--config.train.checkpoint_every=50``, go to the training command.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from stiid.training.log import read_log

TINY = (
    "--config=tests/tiny.py",
    "--config.train.stages.stage_0.steps=150",
    "--config.train.stages.stage_1.steps=150",
    "--config.train.eval_every=40",
    "--config.train.checkpoint_every=7",
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--workdir", type=Path, required=True, help="must not exist")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options, training = parser.parse_known_args(argv)
    if not any(argument.startswith("--config=") for argument in training):
        training = [*TINY, *training]
    options.workdir.mkdir(parents=True)
    alone, killed = options.workdir / "alone", options.workdir / "killed"

    start, total = _run_alone(training, alone)
    print(f"undisturbed: first step logged after {start:.1f} s, done after {total:.1f} s")
    chance = random.Random(options.seed)
    print(f"{'kill':>4} {'after s':>8} {'last logged step':>17} {'newest checkpoint':>18}")
    for number in range(1, options.kills + 1):
        if number % 2:  # leave enough of the run for the kills to come
            wait = chance.uniform(0, 2 * (total - start) / (options.kills + 1))
            lived = _run_and_kill(training, killed, after_first_step=wait)
        else:
            lived = _run_and_kill(training, killed, after=chance.uniform(0, start))
        if lived is None:
            print(f"{number:>4} the run was over before it could be killed: make it longer")
            return 1
        steps = [step for step, _ in _rows(killed)]
        saved = _checkpoints(killed)
        print(
            f"{number:>4} {lived:>8.1f} {max(steps, default=0):>17} {max(saved, default=0):>18}",
            flush=True,
        )
    with _start(training, killed) as process:
        process.wait()

    checks = {
        "exit code 0": process.returncode == 0,
        "state": _equal(_state(alone), _state(killed)),
        "log": _rows(alone) == _rows(killed),
        "scores": _scores(alone) == _scores(killed),
    }
    for name, passed in checks.items():
        print(f"{name}: {'equal' if passed else 'DIFFERENT'}")
    return 0 if all(checks.values()) else 1


def _start(training: Sequence[str], workdir: Path) -> subprocess.Popen[bytes]:
    """Start to train; compiled programs are shared, so that a restart takes seconds."""
    command = [sys.executable, "-m", "stiid.main", *training, f"--workdir={workdir}"]
    environment = {"JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "compiled"), **os.environ}
    log = workdir.with_suffix(".txt").open("ab")
    with log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _run_alone(training: Sequence[str], workdir: Path) -> tuple[float, float]:
    """Seconds until the first step is logged, and until the end, of an uninterrupted run.

    The first of two runs compiles the programs and is discarded.
    """
    for _ in range(2):
        shutil.rmtree(workdir, ignore_errors=True)
        began, first = time.monotonic(), None
        with _start(training, workdir) as process:
            while process.poll() is None:
                if first is None and _rows(workdir):
                    first = time.monotonic() - began
                time.sleep(0.02)
        if process.returncode or first is None:
            raise RuntimeError(f"training failed: see {workdir.with_suffix('.txt')}")
    return first, time.monotonic() - began


def _run_and_kill(
    training: Sequence[str],
    workdir: Path,
    *,
    after: float | None = None,
    after_first_step: float | None = None,
) -> float | None:
    """Seconds that a run lived, or None if it ended by itself."""
    began, known = time.monotonic(), len(_rows(workdir))
    deadline = None if after is None else began + after
    with _start(training, workdir) as process:
        while deadline is None or time.monotonic() < deadline:
            if process.poll() is not None:
                return None
            rows = len(_rows(workdir))
            known = min(known, rows)  # resuming first drops rows after the checkpoint
            if deadline is None and rows > known:
                deadline = time.monotonic() + (after_first_step or 0.0)
            time.sleep(0.02)
        process.kill()
    return time.monotonic() - began


def _rows(workdir: Path) -> list[tuple[int, dict[str, Any]]]:
    path = workdir / "metrics.jsonl"
    rows = read_log(path) if path.exists() else []
    return [(row["step"], {k: v for k, v in row.items() if k != "time"}) for row in rows]


def _checkpoints(workdir: Path) -> list[int]:
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return sorted(int(name) for name in names if name.isdigit())


def _state(workdir: Path) -> Any:
    path = workdir.resolve() / "checkpoints" / str(_checkpoints(workdir)[-1]) / "state"
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_equal(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    return bool(np.array_equal(ours, theirs))


def _scores(workdir: Path) -> Any:
    return json.loads((workdir / "eval" / "metrics.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
