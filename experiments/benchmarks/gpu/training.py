"""(f) With the remaining time: train on balls at 64×64, score, and keep model and log.

    python -m experiments.benchmarks.gpu.training --output=DIR/training.json [--seconds=N] [--tiny]

The config is ``balls.py`` beside this file; its data are generated first, if they are not there.
``DIR/training/run`` is the run, ``DIR/training/model`` its parameters and config alone. A training
that takes too long is stopped by SIGTERM, and its last checkpoint is scored.
"""

import json
import sys
from pathlib import Path
from typing import Any

from experiments.benchmarks.gpu.results import Rows
from experiments.benchmarks.gpu.step import parse
from experiments.benchmarks.gpu.watchdog import DONE, LATE, Outcome, watch
from stiid.training.log import read_log

CONFIG = Path(__file__).with_name("balls.py")
SCORING = 0.25  # share of the time that is kept for scoring and copying
SCORES = ("ari", "f_ari", "mse")
SAVING = 5.0  # seconds to save after SIGTERM: less than this step itself has


def last_rate(workdir: Path) -> dict[str, Any]:
    """The last step that was logged, and the updates a second on the way there."""
    log = workdir / "metrics.jsonl"
    rows = [row for row in (read_log(log) if log.exists() else []) if "total" in row]
    if not rows:
        return {}
    first, last = rows[0], rows[-1]
    seconds = last["time"] - first["time"]
    rate = (last["step"] - first["step"]) / seconds if seconds > 0 else None
    return {"step": last["step"], "loss": last["total"], "updates_per_s": rate}


def python(*words: str, seconds: float, log: Path) -> Outcome:
    """Run a module."""
    return watch([sys.executable, "-m", *words], seconds=seconds, log=log, grace=SAVING)


def main() -> None:
    step = parse(__doc__, "--data_dir")
    rows, folder = Rows(step.output), step.output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    workdir, config = folder / "run", f"{CONFIG}:tiny" if step.tiny else str(CONFIG)
    data = f"--config.data.data_dir={step.rest.data_dir or folder / 'data'}"
    run = ["stiid.main", f"--config={config}", f"--workdir={workdir}", data]
    done = python(*run, seconds=(1 - SCORING) * step.left, log=folder / "train.log")
    rows.add(what="training", status=done.status, seconds=done.seconds, **last_rate(workdir))
    if done.status not in (DONE, LATE):
        raise SystemExit(f"the training {done.status}: {done.last_line}")
    if done.status != DONE:
        done = python(*run, "--mode=eval", seconds=step.left, log=folder / "eval.log")
        rows.add(what="scoring", status=done.status, seconds=done.seconds)
    scores = workdir / "eval" / "metrics.json"
    if scores.exists():
        for length, found in json.loads(scores.read_text(encoding="utf-8"))["lengths"].items():
            rows.add(what=f"{length} frames", **{name: found[name] for name in SCORES})
    release = ["experiments.release", "model", f"--workdir={workdir}", f"--folder={folder}"]
    done = python(*release, seconds=step.left, log=folder / "release.log")
    rows.add(what="model", status=done.status, seconds=done.seconds)


if __name__ == "__main__":
    main()
