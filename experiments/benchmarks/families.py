"""Speed and memory of all models on the same frames: updates, decompositions, a stream.

    python -m experiments.benchmarks.families [--configs quickstart …] [--output FILE.json]

Frames are noise, parameters too: neither changes the work. Each config and kind of work is a
process of its own, on one device and one core; they take turns, so that all meet the same
disturbances. Frames a second of training are those of the first stage's updates, of decompositions
those of a clip of 20 frames with the config's own inference at test and one noise sample.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.side import Side, serve
from experiments.benchmarks.updates import (
    experiment_of,
    named_config,
    state_of_noise,
    timed_updates,
    use_devices,
)
from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.files import write_json
from stiid.typed_config import parse

CONFIGS = ("quickstart", "masks:quick", "iodine:quick", "rnem:quick", "savi:quick")
KINDS = ("update", "decomposition")
FRAMES = 20


def image_shape(experiment: Experiment) -> tuple[int, int, int]:
    """[H, W, C] of the data."""
    view = registry.view(experiment.data.name, **experiment.data.options)
    return view.height, view.width, view.channels


def timed_decompositions(config: Any) -> Iterator[float]:
    """Seconds of one decomposition of a clip after the other, without end; the first compiles."""
    experiment: Experiment = parse(Experiment, config.to_dict())
    decoding = dataclasses.replace(experiment.evaluate.decoding, restarts=1)
    shape, tested = image_shape(experiment), experiment.at_test()
    params = state_of_noise(experiment, experiment.model.build(shape)).params
    network = tested.model.build(shape)
    decompose = jax.jit(network.decompose, static_argnames="decoding")
    video = np.random.default_rng(0).integers(0, 256, (1, FRAMES, *shape), np.uint8)
    keys = jax.random.split(jax.random.key(0), 1)
    while True:
        begin = time.perf_counter()
        jax.block_until_ready(decompose(params, video, keys, decoding=decoding))
        yield time.perf_counter() - begin


def steps(name: str, kind: str) -> Iterator[float]:
    """What a process does, step by step, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_devices(1)
    config = named_config(name)
    if kind == "decomposition":
        return timed_decompositions(config)
    experiment = experiment_of(config)
    return timed_updates(experiment, image_shape(experiment))


def frames_of(name: str, kind: str) -> int:
    """Frames that a step works through."""
    if kind == "decomposition":
        return FRAMES
    (stage,) = experiment_of(named_config(name)).train.stages.values()
    return stage.batch_size * stage.num_frames


def summary(sides: dict[str, Side], frames: dict[str, int]) -> dict[str, float]:
    """Medians of a config."""
    seconds = {kind: statistics.median(side.seconds) for kind, side in sides.items()}
    return {
        "updates_per_second": round(1 / seconds["update"], 3),
        "training_frames_per_second": round(frames["update"] / seconds["update"], 1),
        "frames_per_second": round(frames["decomposition"] / seconds["decomposition"], 1),
        "training_gb": round(sides["update"].peak_gb, 2),
        "decomposition_gb": round(sides["decomposition"].peak_gb, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(steps(options.configs[0], options.serve))
    this = [sys.executable, "-m", "experiments.benchmarks.families"]
    sides = {
        name: {kind: Side([*this, f"--configs={name}", f"--serve={kind}"]) for kind in KINDS}
        for name in options.configs
    }
    for _ in range(options.steps):
        for processes in sides.values():
            for process in processes.values():
                process.do_step()
    result = {}
    for name, processes in sides.items():
        result[name] = summary(processes, {kind: frames_of(name, kind) for kind in KINDS})
        print(name, result[name], flush=True)
    if options.output:
        write_json(options.output, result)


if __name__ == "__main__":
    main()
