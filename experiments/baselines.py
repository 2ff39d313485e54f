r"""Compare a trained baseline with an untrained copy of itself, on clips of its evaluation.

    python -m experiments.baselines --workdir=runs/rnem_quick \
        --output=experiments/results/rnem_quick.json

Writes, for the latest checkpoint and for fresh parameters: our scores of the observed frames and
of the simulated ones (``predict.num_observed`` and ``num_simulated`` of the config), R-NEM's own
grouping scores, and DDPAE's velocity scores; and the curves of the training run.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.curves import in_minutes
from stiid import parallel
from stiid.evaluation.evaluator import tables
from stiid.evaluation.prediction import predict_clips, prediction_scores
from stiid.files import write_json
from stiid.models.rnem.scores import grouping_scores
from stiid.shapes import Params
from stiid.training import devices
from stiid.training.log import read_log
from stiid.training.processes import Processes
from stiid.training.restore import restore


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workdir", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    arguments.add_argument("--clips", type=int, default=64)
    options = arguments.parse_args()
    devices.configure_host_devices(1, batch_sizes=(), processes=Processes(1))

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
    log = read_log(options.workdir / "metrics.jsonl")
    content = {
        "step": int(state.step),
        "data": source.fingerprint,
        "trained": scores(state.params),
        "untrained": scores(fresh),
        "curves": [in_minutes(row, begin=log[0]["time"]) for row in log],
    }
    write_json(options.output, content)
    for name in ("untrained", "trained"):
        print(f"{name}: {_summary(content[name])}")


def _summary(scores: dict[str, Any]) -> str:
    """One line with the scores that differ most between the two."""
    observed, frames = scores["observed"], scores.get("simulated_frames", [])
    parts = [
        f"observed F-ARI {observed['f_ari']:.3f}, per frame {observed['f_ari_frame']:.3f}, "
        f"MSE {observed['mse']:.4f}"
    ]
    if frames:
        means = {k: np.mean([frame[k] for frame in frames]) for k in ("mse", "bce", "copy_mse")}
        parts.append(
            f"simulated MSE {means['mse']:.4f} (last frame repeated {means['copy_mse']:.4f}), "
            f"BCE {means['bce']:.4f}"
        )
    for matching, values in scores.get("velocity", {}).items():
        cosines = [f"{x:.2f}" for x in values["cosine"] if x is not None]
        parts.append(
            f"velocity ({matching}) cosine {' '.join(cosines)}, excluded {values['excluded']:.2f}"
        )
    parts.append("R-NEM's rule " + str({k: round(v, 3) for k, v in scores["rnem_rule"].items()}))
    return "; ".join(parts)


if __name__ == "__main__":
    main()
