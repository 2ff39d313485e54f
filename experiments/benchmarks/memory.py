"""Memory of a training step, as XLA reports it for the compiled program.

    python -m experiments.benchmarks.memory [--output=FILE.json] [--paper]

At a small size: temporaries for several clip lengths, with and without ``remat``, and the ratio of
times and operations of the two. With ``--paper``: what a device needs at the sizes of
``configs/bouncing_balls.py:color`` (all stages, with ``remat``, on one and on eight devices),
compared with 16, 24 and 80 GB; this compiles for minutes and computes nothing.

Everything is compiled for CPU, one instruction after the other (XLA:CPU's default order, which is
for concurrency, takes several times the memory). GPUs and TPUs have other fusions and workspaces,
which were not measured.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Read when the backend starts, and so before anything of JAX is used.
_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from experiments.config_files import load_config  # noqa: E402
from stiid.config.experiment import Experiment  # noqa: E402
from stiid.files import write_json  # noqa: E402
from stiid.models.base import VideoModel  # noqa: E402
from stiid.training.update import gradients  # noqa: E402
from stiid.typed_config import parse  # noqa: E402

DEVICES_GB = (16, 24, 80)


def small_system(*, remat: bool, size: int, features: int) -> VideoModel:
    """The paper's model with narrower convolutions and one refinement."""
    config = load_config("bouncing_balls:color")
    config.model.inference.update(refinements=1, remat=remat)
    config.model.decoder.features = config.model.refiner.features = features
    return parse(Experiment, config.to_dict()).model.build((size, size, 3))


def compile_step(system: VideoModel, *, frames: int, rows: int, size: int) -> tuple[Any, Any]:
    """Compiled gradients of a batch on one device, and the shapes that they take."""
    params = jax.eval_shape(system.init, jax.random.key(0))
    video = jax.ShapeDtypeStruct((rows, frames, size, size, 3), jnp.uint8)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), rows))
    shapes = (params, video, keys)

    def step(params: Any, video: Any, keys: Any) -> Any:
        return gradients(system, params, video, keys, parts=1)

    return jax.jit(step).lower(*shapes).compile(), shapes


def temporaries(compiled: Any) -> int:
    """Bytes that the program needs beside its inputs and outputs."""
    return int(compiled.memory_analysis().temp_size_in_bytes)


def growth(lengths: Sequence[int], *, size: int, features: int, repeats: int) -> list[Any]:
    """One row for each length and choice; times are taken in turn, so that drift cancels."""
    rows, programs = [], []
    for frames in lengths:
        for remat in (False, True):
            system = small_system(remat=remat, size=size, features=features)
            compiled, (shapes, *_) = compile_step(system, frames=frames, rows=1, size=size)
            row = {"frames": frames, "remat": remat, "bytes": temporaries(compiled)}
            # XLA counts one iteration of a loop.
            rows.append({**row, "flops_of_a_frame": compiled.cost_analysis()["flops"]})
            rng = np.random.default_rng(0)
            params = jax.tree.map(
                lambda leaf, rng=rng: 0.05 * rng.normal(size=leaf.shape).astype(leaf.dtype), shapes
            )
            video = rng.integers(0, 256, (1, frames, size, size, 3), np.uint8)
            programs.append((compiled, (params, video, jax.random.split(jax.random.key(0), 1))))
            print(rows[-1], flush=True)
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(repeats + 1):
        for (compiled, arguments), seconds in zip(programs, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(compiled(*arguments))
            seconds.append(time.perf_counter() - start)
    for row, seconds in zip(rows, times, strict=True):
        row["seconds"] = statistics.median(seconds[1:])
    return rows


def summary(rows: Sequence[Any]) -> dict[str, float]:
    """Bytes of a further frame, and what ``remat`` costs."""
    of = {remat: [row for row in rows if row["remat"] == remat] for remat in (False, True)}
    further = {
        remat: (some[-1]["bytes"] - some[0]["bytes"]) / (some[-1]["frames"] - some[0]["frames"])
        for remat, some in of.items()
    }
    pairs = list(zip(of[True], of[False], strict=True))
    return {
        "bytes_per_frame_without": further[False],
        "bytes_per_frame_with": further[True],
        "share": further[True] / further[False],
        "flops_ratio": pairs[0][0]["flops_of_a_frame"] / pairs[0][1]["flops_of_a_frame"],
        "time_ratio": statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
    }


def paper() -> list[Any]:
    """What one device needs in every stage of the paper's curriculum, with ``remat``."""
    experiment = parse(Experiment, load_config("bouncing_balls:color").to_dict())
    system = experiment.model.build((64, 64, 3))
    rows, known = [], {}
    for name in experiment.train.order:
        stage = experiment.train.stages[name]
        for devices in (1, 8):
            share = stage.batch_size // devices
            case = (stage.num_frames, share)
            if case not in known:
                compiled, _ = compile_step(system, frames=case[0], rows=share, size=64)
                known[case] = temporaries(compiled)
            gigabytes = known[case] / 1e9
            fits = [f"{limit} GB" for limit in DEVICES_GB if gigabytes < limit]
            rows.append({"frames": case[0], "devices": devices, "rows": share, "GB": gigabytes})
            print({**rows[-1], "fits": fits}, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON")
    parser.add_argument("--paper", action="store_true", help="compile the paper's sizes instead")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--lengths", type=int, nargs=2, default=(4, 8))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    small = {name: getattr(options, name) for name in ("size", "features", "repeats")}
    content: dict[str, Any] = {}
    if options.paper:
        content["paper"] = paper()
    else:
        content["growth"] = growth(options.lengths, **small)
        content["summary"] = summary(content["growth"])
        print(content["summary"])
    if options.output:
        write_json(options.output, content)


if __name__ == "__main__":
    main()
