"""Measure how an update's time grows with the number of frames T and of refinements R.

    python -m experiments.benchmarks.grid_cost [--size 32 --features 32] [--output grid_cost.json]

The paper's model (``configs/bouncing_balls.py:color``), one clip on one host device, smaller by
default than the paper's 64×64 pixels and 64 features so that all points take minutes. The grid has
R(R + 1)/2 + T − R refinements and T last decodes for T ≥ R, so a further frame costs one refinement
and two decodes, whatever R; IODINE on every frame by itself refines R T times. Writes a plot of
both beside the JSON if matplotlib is there.
"""

import argparse
import importlib.util
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.updates import experiment_of, timed_updates, use_devices
from experiments.config_files import load_config
from stiid.files import write_json
from stiid.method.schedule import schedule

ONE_FRAME = {
    "grid": "full",
    "time_axis": "none",
    "conditional_prior": False,
    "first_prior": "standard",
    "generation": False,
}


def measure(options: argparse.Namespace, frames: int, refinements: int, every: bool) -> Any:
    config = load_config("bouncing_balls:color")
    with config.unlocked():
        config.model.decoder.features = config.model.refiner.features = options.features
        config.model.inference.refinements = refinements
        if every:
            config.model.inference.update(ONE_FRAME)
    size = (options.size, options.size, 3)
    times = timed_updates(experiment_of(config, batch_size=1, num_frames=frames), size)
    first = next(times)
    seconds = statistics.median(next(times) for _ in range(options.repeats))
    grid = schedule("full" if every else "triangular", refinements=refinements, num_frames=frames)
    return {
        "grid": "every frame by itself" if every else "2D",
        "frames": frames,
        "refinements": refinements,
        "cells": sum(grid),
        "seconds": round(seconds, 3),
        "first_update": round(first, 1),
    }


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Least squares of seconds = a · refinements of the grid + b · frames."""
    work = np.array([[row["cells"], row["frames"]] for row in rows], float)
    seconds = np.array([row["seconds"] for row in rows])
    (cell, frame), *_ = np.linalg.lstsq(work, seconds, rcond=None)
    errors = np.abs(work @ [cell, frame] / seconds - 1.0)
    return {
        "seconds_a_refinement": round(float(cell), 4),
        "seconds_a_last_decode": round(float(frame), 4),
        "largest_relative_error": round(float(errors.max()), 3),
    }


def plot(path: Path, rows: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    refinements = max(row["refinements"] for row in rows if row["grid"] != "2D")
    for grid in ("2D", "every frame by itself"):
        chosen = [r for r in rows if r["grid"] == grid and r["refinements"] == refinements]
        points = sorted((row["frames"], row["seconds"]) for row in chosen)
        left.plot(*zip(*points, strict=True), "o-", label=grid)
    left.set(xlabel=f"frames T (R = {refinements})", ylabel="seconds per update and clip")
    left.legend(title="refinement")
    frames = max(row["frames"] for row in rows if row["refinements"] != refinements)
    chosen = [row for row in rows if row["grid"] == "2D" and row["frames"] == frames]
    points = sorted((row["refinements"], row["seconds"]) for row in chosen)
    right.plot(*zip(*points, strict=True), "o-")
    right.set(xlabel=f"refinements R (T = {frames})", ylim=(0, None))
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--frames", type=int, nargs="+", default=[4, 10, 20, 40], help="at R = 6")
    parser.add_argument("--refinements", type=int, nargs="+", default=[2, 4, 6, 10], help="at T")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    use_devices(1)
    middle = sorted(options.frames)[len(options.frames) // 2 - 1]
    points = {(frames, 6, False) for frames in options.frames}
    points |= {(middle, refinements, False) for refinements in options.refinements}
    points |= {(frames, 6, True) for frames in options.frames}
    rows = []
    for frames, refinements, every in sorted(points, key=lambda p: (p[2], p[1], p[0])):
        rows.append(measure(options, frames, refinements, every))
        print(rows[-1], flush=True)
    result = {"size": options.size, "features": options.features, "rows": rows}
    result["fit"] = fit([row for row in rows if row["frames"] >= row["refinements"]])
    print(result["fit"])
    if options.output:
        write_json(options.output, result)
        if importlib.util.find_spec("matplotlib"):
            plot(options.output.with_suffix(".png"), rows)


if __name__ == "__main__":
    main()
