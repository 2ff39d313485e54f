"""A trained baseline against an untrained copy of itself, on clips of its evaluation.

    python -m experiments.baselines --workdir=runs/rnem_quick --output=experiments/results/rnem.json

Writes, for the latest checkpoint and for fresh parameters: our scores of the observed frames and
of the simulated ones (``predict.observed``/``simulated`` frames of the config), R-NEM's own
grouping scores, and DDPAE's velocity scores; and the curves of the training run.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stiid import parallel
from stiid.baselines.rnem.scores import grouping_scores
from stiid.evaluate import tables, write_json
from stiid.predict import predict_clips, prediction_scores
from stiid.run import restore
from stiid.shapes import Params
from stiid.writer import read_log


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workdir", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    arguments.add_argument("--clips", type=int, default=64)
    options = arguments.parse_args()
    parallel.configure_host_devices(1, batch_sizes=(), processes=parallel.Processes(1))

    experiment, state, source, system = restore(None, options.workdir, "latest")
    settings = dataclasses.replace(experiment.predict, clips=options.clips)
    seen = settings.num_observed

    def scores(params: Params) -> dict[str, Any]:
        clips, result = predict_clips(settings, experiment.evaluate, system, source, params)
        content = dict(prediction_scores(clips, result, num_observed=seen))
        table, _ = tables(clips, result)
        own = grouping_scores(table[:, :seen], result.masks[:, :seen], clips.masks[:, :seen])
        return content | {"rnem_rule": {k: float(np.mean(v)) for k, v in own._asdict().items()}}

    fresh = parallel.replicate(jax.jit(system.init)(jax.random.key(experiment.seed + 1)))
    content = {
        "step": int(state.step),
        "data": source.fingerprint,
        "trained": scores(state.params),
        "untrained": scores(fresh),
        "curves": [_rounded(row) for row in read_log(options.workdir / "metrics.jsonl")],
    }
    write_json(options.output, content)
    for name in ("untrained", "trained"):
        frames = content[name]["simulated_frames"]
        bce, mse = (float(np.mean([frame[key] for frame in frames])) for key in ("bce", "mse"))
        observed = content[name]["observed"]
        print(
            f"{name:>9}: observed F-ARI per frame {observed['f_ari_frame']:.3f}, MSE "
            f"{observed['mse']:.4f}; simulated MSE {mse:.4f}, BCE {bce:.4f}; "
            f"velocity {content[name]['velocity']}; R-NEM's rule {content[name]['rnem_rule']}"
        )


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    main()
