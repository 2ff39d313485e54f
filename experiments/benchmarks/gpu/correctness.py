"""(b) Compare this device with a CPU: gradients of all models, and scores of a trained one.

    python -m experiments.benchmarks.gpu.correctness [--output=FILE.json] [--tiny]
    JAX_PLATFORMS=cpu python -m experiments.benchmarks.gpu.correctness --write  # the CPU's results

There is a row for each model and precision: the relative error of the gradients (the norm of their
difference from a CPU's float32 gradients in ``cpu_reference.json``, over the norm of these), and
its bound. Gradients are computed by ``pmap``, as in training. The trained model is
``stiid://quickstart``, on eight clips that are generated here.
"""

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.gpu import cases
from experiments.benchmarks.gpu.cells import run_cells, serve
from experiments.benchmarks.gpu.results import Rows
from experiments.benchmarks.gpu.step import parse, start_jax
from stiid.evaluation.evaluator import Evaluator
from stiid.files import write_json
from stiid.training.restore import restore, restore_model

REFERENCE = Path(__file__).with_name("cpu_reference.json")
# Bounds of relative errors of gradients. For float32 it is rounding; the others are three times the
# error that results from rounding the operands of products on a CPU: to TF32 .0004 to .0035
# (DDPAE), to bfloat16 .006.
BOUNDS = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 2e-2}
SCORES = {"f_ari": 0.01, "mse": 1e-4}  # bounds of the differences
RELEASED, CLIPS = "released model", 8


def gradient_error(name: str, precision: str) -> Callable[[], dict[str, Any]]:
    """Compile a case; the function gives its row."""
    start_jax(precision)
    case = cases.CASES[name]
    model = cases.build(case, precision=precision)
    run = cases.compiled(model, *cases.inputs(case, model))

    def measure() -> dict[str, Any]:
        stored = json.loads(REFERENCE.read_text())[name]
        grads, terms = run()
        error = relative_error(cases.sketch(grads), np.array(stored["sketch"]))
        total = float(terms.total)
        row = {"error": error, "bound": BOUNDS[precision], "loss": total}
        row["loss_on_cpu"] = stored["loss"]
        return {**row, "status": verdict(error <= BOUNDS[precision])}

    return measure


def relative_error(found: np.ndarray, stored: np.ndarray) -> float:
    """‖found − stored‖ / ‖stored‖; NaN if any element is NaN."""
    return float(np.linalg.norm(found - stored) / np.linalg.norm(stored))


def verdict(kept: bool) -> str:
    return "ok" if kept else "OUT OF BOUNDS"


def released_scores() -> dict[str, float]:
    """Of the released model, on eight clips of ten frames, with one noise sample."""
    with tempfile.TemporaryDirectory() as folder:
        experiment, _, _ = restore_model(None, Path(folder), "stiid://quickstart")
        options = {**experiment.data.options, "train": 0, "validation": CLIPS}
        data = dataclasses.replace(experiment.data, data_dir=folder, options=options)
        evaluate = dataclasses.replace(
            experiment.evaluate, clips=CLIPS, batch_size=CLIPS, lengths=(10,), restarts=1
        )
        experiment = dataclasses.replace(experiment, data=data, evaluate=evaluate)
        experiment, state, source, system = restore(experiment, Path(folder), "stiid://quickstart")
        scores = Evaluator(experiment.evaluate, system, source)(state.params).scores[10]
    return {name: scores[name] for name in SCORES}


def score_error() -> Callable[[], dict[str, Any]]:
    """The row of the trained model, compiled and run when its turn comes."""
    start_jax("tf32")  # as users run it

    def measure() -> dict[str, Any]:
        stored = json.loads(REFERENCE.read_text())[RELEASED]
        found = released_scores()
        kept = all(abs(found[name] - stored[name]) <= SCORES[name] for name in SCORES)
        both = {name: f"{found[name]:.5f} ({stored[name]:.5f})" for name in SCORES}
        return {**both, "status": verdict(kept)}

    return measure


def write_reference() -> None:
    """Compute the CPU's results."""
    start_jax("float32")
    if jax.default_backend() != "cpu":
        raise SystemExit("the reference is a CPU's: set JAX_PLATFORMS=cpu")
    content: dict[str, Any] = {}
    for name, case in cases.CASES.items():
        model = cases.build(case, precision="float32")
        grads, terms = cases.compiled(model, *cases.inputs(case, model))()
        numbers = [float(f"{x:.9g}") for x in cases.sketch(grads)]
        content[name] = {"loss": float(terms.total), "sketch": numbers}
        print(name, cases.size(grads), "gradients, loss", content[name]["loss"], flush=True)
    content[RELEASED] = released_scores()
    write_json(REFERENCE, content)


def cells(tiny: bool) -> dict[str, tuple[str, str]]:
    """Names of rows, with their cases and precisions."""
    if tiny:
        return {"iodine, float32": ("iodine", "float32")}
    pairs = [("paper", "float32"), (RELEASED, "tf32")]
    pairs += [(name, "float32") for name in cases.CASES if name != "paper"]
    pairs += [(name, "tf32") for name in cases.CASES]
    pairs += [(name, "bfloat16") for name, case in cases.CASES.items() if case.in_bfloat16]
    return {", ".join(pair): pair for pair in pairs}


def main() -> None:
    step = parse(__doc__, "--case", "--precision", "--write")
    if step.rest.write:
        return write_reference()
    if step.rest.case == RELEASED:
        return serve(score_error)
    if step.rest.case:
        return serve(lambda: gradient_error(step.rest.case, step.rest.precision))
    this = [sys.executable, "-m", "experiments.benchmarks.gpu.correctness"]
    commands = {
        name: [*this, f"--case={case}", f"--precision={precision}"]
        for name, (case, precision) in cells(step.tiny).items()
    }
    at_once = max(1, min(6, (os.cpu_count() or 1) // 2))
    rows = Rows(step.output)
    logs = step.output.parent / "logs"
    limits = {"at_once": at_once, "seconds": step.left, "patience": 0.75 * step.left}
    for name, row in run_cells(commands, logs=logs, **limits):
        case, precision = cells(step.tiny)[name]
        rows.add(model=case, precision=precision, **row)
    wrong = [row for row in rows.rows if row["status"] != "ok"]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(rows.rows)} are not ok")


if __name__ == "__main__":
    main()
