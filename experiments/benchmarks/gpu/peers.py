"""(d) Compare updates with PyTorch implementations of IODINE and of the authors on this device.

    python -m experiments.benchmarks.gpu.peers --peer=CHECKOUT --peer_provide=CHECKOUT \\
        [--peer_python=PYTHON] [--output=FILE.json] [--seconds=N] [--tiny]

Checkouts of github.com/MichaelKevinKelly/IODINE at c2c22df and github.com/BorealisAI/PROVIDE at
ad0b9ef, and an interpreter that has PyTorch. Both sides do the same work in the same precision, in
turns, step by step (``training_step`` does the same on CPUs).
"""

import statistics
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from experiments.benchmarks.gpu.results import Rows
from experiments.benchmarks.gpu.step import Step, on_gpu, parse, peak_gb, start_jax
from experiments.benchmarks.side import Side, resident_gb, serve
from experiments.benchmarks.training_step import EVALUATIONS, PEER, PEER_PROVIDE, SLOTS
from experiments.benchmarks.updates import experiment_of, timed_updates
from experiments.config_files import load_config

GFLOP_OF_IODINE = 213  # an image, by the PyTorch implementation's own layers
TURNS = 9


class Work(NamedTuple):
    """The work of both sides."""

    config: str
    script: str  # of the other side
    batch: int
    frames: int
    slots: int = SLOTS
    evaluations: int = EVALUATIONS


IODINE = Work("iodine:color", str(PEER), 32, 1)
PROVIDE = Work("provide:color", str(PEER_PROVIDE), 32, 4)


def works(tiny: bool) -> dict[str, Work]:
    """By the option that names the checkout."""
    both = {"peer": IODINE, "peer_provide": PROVIDE}
    small = {"batch": 1, "slots": 2, "evaluations": 3}
    return {k: work._replace(**small) for k, work in both.items()} if tiny else both


def updates(work: Work, precision: str) -> Iterator[float]:
    """Seconds of one update of ours after the other."""
    start_jax(precision)
    config = load_config(work.config)
    config.model.num_slots = work.slots
    config.model.inference.update(refinements=work.evaluations - 1, remat=False)
    stage = {"batch_size": work.batch, "num_frames": work.frames, "micro_batches": 1}
    return timed_updates(experiment_of(config, **stage), (64, 64, 3))


def commands(step: Step, option: str, precision: str) -> tuple[list[str], list[str]]:
    """Commands of the peer's process and of ours."""
    work = works(step.tiny)[option]
    sizes = [work.batch, work.slots, work.evaluations]
    sizes += [work.frames] if work.config == PROVIDE.config else []
    device = {"tf32": "cuda:tf32", "float32": "cuda"}[precision] if on_gpu() else "cpu"
    python = step.rest.peer_python or sys.executable
    theirs = [python, work.script, getattr(step.rest, option), *map(str, sizes), device]
    ours = [sys.executable, "-m", "experiments.benchmarks.gpu.peers", f"--serve={option}"]
    ours += [f"--precision={precision}", *["--tiny"] * step.tiny]
    return theirs, ours


def compare(step: Step, option: str, precision: str) -> dict[str, Any]:
    """Measure both sides in turns: one row."""
    work, sides = works(step.tiny)[option], []
    try:
        for command in commands(step, option, precision):
            sides.append(Side(command))
        for _ in range(1 if step.tiny else TURNS):
            for side in sides:
                side.do_step()
    except (SystemExit, OSError) as error:  # a side has ended: what it said is in the log
        return {"status": f"failed: {error}"}
    finally:
        for side in sides:
            side.process.kill()
            side.process.wait()
    ratio = statistics.median(a / b for a, b in zip(*(s.seconds for s in sides), strict=True))
    peer, own = (statistics.median(side.seconds) for side in sides)
    row = {"peer_ms": 1e3 * peer, "ms": 1e3 * own, "times_as_fast": ratio}
    row |= {"peer_gb": sides[0].peak_gb, "gb": sides[1].peak_gb}
    if work.config == IODINE.config and not step.tiny:
        row["peer_tflops"] = 1e-3 * GFLOP_OF_IODINE * work.batch / peer
        row["tflops"] = 1e-3 * GFLOP_OF_IODINE * work.batch / own
    return row


def main() -> None:
    options = ("--peer", "--peer_provide", "--peer_python", "--serve", "--precision")
    step = parse(__doc__, *options)
    if step.rest.serve:
        steps = updates(works(step.tiny)[step.rest.serve], step.rest.precision)
        return serve(steps, lambda: peak_gb() or resident_gb())
    start_jax("tf32")
    rows = Rows(step.output)
    for precision in ("tf32",) if step.tiny else ("tf32", "float32"):
        for option, work in works(step.tiny).items():
            if getattr(step.rest, option):
                row = compare(step, option, precision)
                rows.add(config=work.config, precision=precision, batch=work.batch, **row)
            else:
                rows.add(config=work.config, status=f"not run: --{option} is not given")


if __name__ == "__main__":
    main()
