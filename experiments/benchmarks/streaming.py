"""Frames per second of a trained model on a long video, and its scores, by refinements per frame.

    python -m experiments.benchmarks.streaming [--checkpoint=DIR] [--output=FILE]

The first row is the model's own inference; that of the quickstart, the default, ends with one
refinement per frame. In the others, every frame has the same number of refinements. Frames are
processed one by one (batch 1, one host device), as in ``--mode=decompose``. After a tenth of the
video, the peak of the resident memory should hardly grow. Scores are those of the evaluation, with
one noise sample of the first frame.
"""

import argparse
import dataclasses
import itertools
import resource
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks.updates import use_devices
from stiid.evaluation.evaluator import Evaluator
from stiid.files import write_json
from stiid.models.base import row_keys
from stiid.training.restore import restore

NEXT = 20  # frames that compile all programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="stiid://quickstart", help="or a workdir")
    parser.add_argument("--frames", type=int, default=1000, help="length of the video")
    parser.add_argument("--clips", type=int, default=64, help="to score")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    use_devices(1)
    experiment, state, source, _ = restore(None, Path.cwd(), options.checkpoint)
    evaluate = dataclasses.replace(experiment.evaluate, clips=options.clips, restarts=1)
    experiment = dataclasses.replace(experiment, evaluate=evaluate)
    params = jax.device_get(state.params)
    most = experiment.at_test().model.inference.refinements
    choices = [("own", {})]
    choices += [(str(r), {"grid": "full", "refinements": r}) for r in range(1, most + 1)]
    rows = []
    for name, inference in choices:
        old = experiment.evaluate.model
        override = {**old, "inference": {**old.get("inference", {}), **inference}}
        changed = dataclasses.replace(
            experiment, evaluate=dataclasses.replace(evaluate, model=override)
        ).at_test()
        video = source[0]["video"]
        system = changed.model.build(video.shape[1:])
        frames = itertools.islice(itertools.cycle(video), options.frames + NEXT)
        key = row_keys(jax.random.key(0), jnp.zeros(1, jnp.int32))[0]
        stream = system.stream(  # type: ignore[union-attr]
            params, frames, key, evaluate.decoding
        )
        memory: dict[int, float] = {}
        begin = 0.0
        for t, _ in enumerate(stream):
            if t + 1 == NEXT:
                begin = time.perf_counter()
            if t + 1 in (NEXT + options.frames // 10, NEXT + options.frames):
                memory[t + 1] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        seconds = time.perf_counter() - begin
        early, late = memory.values()
        scores = Evaluator(changed.evaluate, system, source)(state.params).scores
        row: dict[str, Any] = {
            "refinements": name,
            "frames_per_second": round(options.frames / seconds, 1),
            "growth_mb": round(late - early, 1),
            "scores": {k: {m: round(v[m], 4) for m in ("f_ari", "mse")} for k, v in scores.items()},
        }
        rows.append(row)
        print(row, flush=True)
    if options.output:
        content = {
            "checkpoint": options.checkpoint,
            "step": int(state.step),
            "size": video.shape[1:],
            "frames": options.frames,
            "clips": options.clips,
            "rows": rows,
        }
        write_json(options.output, content)


if __name__ == "__main__":
    main()
