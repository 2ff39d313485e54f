"""Train a config with several seeds, and write one file with their scores, curves and cost.

    python -m experiments.seeds --config=configs/quickstart.py --seeds 0 1 2 \
        --workdir=runs/quickstart_seeds --output=experiments/results/quickstart.json

Each seed is a run of ``stiid.main`` in ``WORKDIR/seed_N``, one after the other. Complete runs are
not repeated, and interrupted ones resume. Further arguments are passed to ``stiid.main``.
"""

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.commands import (
    CommandError,
    command_text,
    cost,
    is_complete,
    leave_on_sigterm,
    run_once,
)
from experiments.curves import in_minutes, rounded
from stiid.data.workers import available_cores
from stiid.files import write_json
from stiid.training.log import read_log

_POINTS = 40  # of a curve
_CURVES = ("nll", "kl", "mse")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options, further = parser.parse_known_args(argv)
    for seed in options.seeds:
        folder = options.workdir / f"seed_{seed}"
        command = ["stiid.main", f"--config={options.config}", f"--workdir={folder}"]
        command += [f"--config.seed={seed}", *further]
        wanted = command_text(folder, command)
        if is_complete(folder) and cost(folder)["command"] != wanted:
            parser.error(
                f"{folder} holds the result of `{cost(folder)['command']}`, not of `{wanted}`: "
                "use another --workdir"
            )
        try:
            run_once(folder, command)
        except CommandError as error:
            print(f"seed {seed}: {error}", file=sys.stderr)
            return 1
    try:
        runs = {str(seed): _summary(options.workdir / f"seed_{seed}") for seed in options.seeds}
    except ValueError as error:
        parser.error(str(error))
    content = {
        "command": " ".join(["python -m stiid.main", f"--config={options.config}", *further]),
        "hardware": f"{processor()}, {available_cores()} cores visible",
        "scores": _spread([run["scores"] for run in runs.values()]),
        "seeds": runs,
    }
    write_json(options.output, content)
    print(f"wrote {options.output}")
    for length, scores in content["scores"].items():
        print(f"{length:>4} frames " + ", ".join(f"{k} {v}" for k, v in scores.items()))
    return 0


def _summary(workdir: Path) -> dict[str, Any]:
    final = json.loads((workdir / "eval" / "metrics.json").read_text())
    log = read_log(workdir / "metrics.jsonl")
    _check_of_training(workdir, final, log)
    # A resumed run writes run.json anew.
    begin = min((workdir / "run.json").stat().st_mtime, log[0]["time"])
    card = json.loads((workdir / "run.json").read_text())
    training = [row for row in log if row["split"] == "train"]
    kept = {int(i) for i in np.linspace(0, len(training) - 1, _POINTS)}
    return {
        **{name: cost(workdir)[name] for name in ("minutes", "commit")},
        "devices": len(card["devices"]),
        "data": final["data"],
        "clips": final["clips"],
        "step": final["step"],
        "scores": {length: rounded(scores) for length, scores in final["lengths"].items()},
        "evaluations": [
            in_minutes(row, begin=begin) for row in log if row["split"].startswith("eval")
        ],
        "curve": [
            rounded({"step": row["step"], **{name: row[name] for name in _CURVES if name in row}})
            for i, row in enumerate(training)
            if i in kept
        ],
    }


def _check_of_training(
    workdir: Path, final: Mapping[str, Any], log: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse scores of a later evaluation, which replaced those at the end of training."""
    last = {row["split"].removeprefix("eval_"): row for row in log}  # the last of each split
    for length, scores in final["lengths"].items():
        logged = last.get(length, {"step": None})
        if logged["step"] != final["step"] or any(logged[k] != v for k, v in scores.items()):
            raise ValueError(
                f"{workdir}/eval/metrics.json is not what training ended with: the scores at "
                f"{length} frames in metrics.jsonl are others. Evaluate again with the config of "
                "the training, --mode=eval, and no other change"
            )


def _spread(scores: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, str]]:
    """Mean ± sample standard deviation over seeds, if there are several."""
    return {
        length: {
            name: f"{np.mean(values):.4f}"
            + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")
            for name in scores[0][length]
            for values in [[run[length][name] for run in scores]]
        }
        for length in scores[0]
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    leave_on_sigterm()
    sys.exit(main())
