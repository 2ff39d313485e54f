"""Measure how long an update of the paper's model takes to trace and to compile.

    python -m experiments.benchmarks.compile_time [--frames 6 10 40] [--output FILE.json]

``configs/bouncing_balls.py:color``: 64×64, R = 6. Nothing is run, and no cache of compiled programs
is used. Frames with equal R̂ share one scan, so for T ≥ R the time depends on R alone.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments.benchmarks.updates import experiment_of, use_devices
from experiments.config_files import load_config
from stiid.files import write_json
from stiid.training.update import init_state, make_update


def measure(frames: int) -> dict[str, float]:
    config = load_config("bouncing_balls:color")
    experiment = experiment_of(config, batch_size=1, num_frames=frames)
    system = experiment.model.build((64, 64, 3))
    shapes = (
        jax.eval_shape(lambda: init_state(experiment, system)),
        jax.ShapeDtypeStruct((1, 1, frames, 64, 64, 3), jnp.uint8),
        jax.ShapeDtypeStruct((1, 1), jnp.int32),
        jax.ShapeDtypeStruct((), jnp.float32),
    )
    begin = time.perf_counter()
    lowered = make_update(experiment, system).lower(*shapes)
    traced = time.perf_counter()
    lowered.compile()
    return {
        "frames": frames,
        "trace": round(traced - begin, 1),
        "compile": round(time.perf_counter() - traced, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[6, 10, 40])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    use_devices(1)
    rows = []
    for frames in options.frames:
        rows.append(measure(frames))
        print(rows[-1], flush=True)
    if options.output:
        write_json(options.output, {"rows": rows})


if __name__ == "__main__":
    main()
