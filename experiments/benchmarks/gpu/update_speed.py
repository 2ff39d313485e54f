"""(c) Measure updates at the paper's sizes: time, clips per second, memory, compilation time.

    python -m experiments.benchmarks.gpu.update_speed [--output=FILE.json] [--seconds=N] [--tiny]

A row for each config, number of frames, precision and option; batches are the paper's 32 on the one
device. Useful TFLOP/s (``gpu_model``, for the paper's model) do not count what ``remat`` computes
again. One cell lists the operations that take the time of an update.
"""

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.gpu.cells import run_cells, serve
from experiments.benchmarks.gpu.device import ceiling
from experiments.benchmarks.gpu.operations import operations
from experiments.benchmarks.gpu.results import Rows
from experiments.benchmarks.gpu.step import Step, parse, peak_gb, shrink, start_jax
from experiments.benchmarks.gpu_model import clip_gflop
from experiments.benchmarks.updates import experiment_of, state_of_noise
from experiments.config_files import load_config
from stiid import parallel
from stiid.kernels import slot_sums
from stiid.training.update import learning_rates, make_update

WARM_UP, SECONDS, UPDATES = 2, 3.0, 50  # of measuring: at most so long, and so many
PAPER = "bouncing_balls:color"


@dataclasses.dataclass(frozen=True)
class Cell:
    """An update: what is measured."""

    config: str = PAPER
    frames: int = 4
    precision: str = "tf32"  # see ``step.PRECISIONS``
    remat: bool = True
    unroll: int = 1
    sums: str = "slices"  # of slots and channels; "plain": XLA's
    batch: int = 32
    profile: bool = False  # tell the time of operations instead; see ``operations``
    tiny: bool = False

    @property
    def name(self) -> str:
        """Name, made of the options that differ from the default."""
        fields = dataclasses.asdict(self).items()
        hidden = ("config", "frames", "tiny")
        changed = [f"{k}={v}" for k, v in fields if k not in hidden and v != _DEFAULT[k]]
        return ", ".join([f"{self.config} {self.frames} frames", *changed])


_DEFAULT = dataclasses.asdict(Cell())
CELLS = (  # the most telling first
    Cell(),
    Cell(remat=False),
    Cell(precision="bfloat16"),
    Cell("iodine:color", 1),
    Cell("provide:color"),
    Cell(precision="float32"),
    Cell(profile=True),
    Cell("clevrer"),
    Cell(frames=10),
    Cell(frames=40),
    Cell(sums="plain"),
    Cell("iodine:color", 1, remat=False),
    Cell("provide:color", remat=False),
    Cell(remat=False, unroll=0),
    Cell(precision="bfloat16", remat=False),
    Cell(frames=20),
    Cell(frames=40, precision="bfloat16"),
    Cell(frames=10, remat=False),
    Cell("iodine:color", 1, precision="bfloat16"),
    Cell("provide:color", precision="bfloat16"),
    Cell("clevrer", 10),
    Cell("clevrer", 40),
    Cell("provide:color", 40),
    Cell("iodine:color", 1, precision="float32"),
    Cell(batch=8),
    Cell(frames=40, remat=False, batch=8),
)
_SMALLEST = Cell("iodine:color", 1, batch=2, tiny=True)
TINY = (_SMALLEST, dataclasses.replace(_SMALLEST, profile=True))


def compile_update(cell: Cell) -> Callable[[], dict[str, Any]]:
    """Compile a cell's update; the function measures it."""
    start_jax(cell.precision)
    config = load_config(cell.config)
    config.model.inference.update(remat=cell.remat, unroll=cell.unroll)
    if cell.precision == "bfloat16":
        config.model.precision = cell.precision
    size = 16 if cell.tiny else 64
    if cell.tiny:
        shrink(config)
    stage = {"batch_size": cell.batch, "num_frames": cell.frames, "micro_batches": 1}
    experiment = experiment_of(config, **stage)
    system = experiment.model.build((size, size, 3))
    state = parallel.replicate(state_of_noise(experiment, system))
    shape = (cell.batch, cell.frames, size, size, 3)
    video = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    shards = parallel.shard((video, parallel.global_rows(cell.batch)))
    rate = learning_rates(experiment)[0]
    begin = time.perf_counter()
    with mock.patch.object(slot_sums, "_sum", _plain_sum if cell.sums == "plain" else _SLICES):
        lowered = make_update(experiment, system).lower(state, *shards, rate)
    traced = time.perf_counter()
    program = lowered.compile()
    compiled = time.perf_counter()

    def update(state: Any) -> Any:
        state, metrics = program(state, *shards, rate)
        jax.block_until_ready((state, metrics))
        return state

    def measure() -> dict[str, Any]:
        if cell.profile:
            update(state)
            return {"operations": operations(lambda: update(state))}
        seconds = _times(update, state)
        median = statistics.median(seconds)
        row = {
            "ms": 1e3 * median,
            "fastest_ms": 1e3 * min(seconds),
            "clips_per_s": cell.batch / median,
            "frames_per_s": cell.batch * cell.frames / median,
            "trace_s": traced - begin,
            "compile_s": compiled - traced,
            "planned_gb": _planned_gb(program),
            "peak_gb": peak_gb(),
        }
        if cell.config == PAPER and not cell.tiny:
            work = cell.batch * clip_gflop(cell.frames, 6, remat=False)
            row["useful_tflops"] = work / 1e3 / median
        return row

    return measure


def _times(update: Callable[[Any], Any], state: Any) -> list[float]:
    seconds: list[float] = []
    while len(seconds) < WARM_UP + 3 or (
        sum(seconds[WARM_UP:]) < SECONDS and len(seconds) < WARM_UP + UPDATES
    ):
        begin = time.perf_counter()
        state = update(state)
        seconds.append(time.perf_counter() - begin)
    return seconds[WARM_UP:]


def _planned_gb(program: Any) -> float:
    """Peak memory of the program, as XLA reports it."""
    plan = program.memory_analysis()
    sizes = (plan.temp_size_in_bytes, plan.argument_size_in_bytes, plan.output_size_in_bytes)
    return sum(sizes) / 1e9


_SLICES = slot_sums._sum


def _plain_sum(x: jax.Array, count: int, axis: int) -> jax.Array:
    """``slot_sums._sum`` by XLA's own sum."""
    return jnp.sum(x, axis, keepdims=True)


def command(cell: Cell) -> list[str]:
    """The command of a cell's process."""
    fields = json.dumps(dataclasses.asdict(cell))
    return [sys.executable, "-m", "experiments.benchmarks.gpu.update_speed", f"--cell={fields}"]


def measure_all(step: Step) -> None:
    """Measure a row for each cell, as long as there is time."""
    cells = {cell.name: cell for cell in (TINY if step.tiny else CELLS)}
    rows = Rows(step.output)
    profiles = Rows(step.output.with_name("operations.json"))
    peak = {p: ceiling(step.output.with_name("device.json"), p) for p in ("tf32", "bfloat16")}
    answers = run_cells(
        {name: command(cell) for name, cell in cells.items()},
        at_once=max(1, min(6, (os.cpu_count() or 1) // 2)),
        seconds=step.left,
        patience=0.75 * step.left,
        logs=step.output.parent / "logs",
    )
    for name, row in answers:
        if "operations" in row:
            for operation in row["operations"]:
                profiles.add(**operation)
            continue
        best = peak.get(cells[name].precision)
        if best and "useful_tflops" in row:
            row["share_of_products"] = row["useful_tflops"] / best
        rows.add(update=name, **row)


def main() -> None:
    step = parse(__doc__, "--cell")
    if step.rest.cell:
        return serve(lambda: compile_update(Cell(**json.loads(step.rest.cell))))
    measure_all(step)


if __name__ == "__main__":
    main()
