"""Records of a result: each row's numbers, their mean and spread over seeds, and origin."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.result import PaperResult, Row
from experiments.runner import Runner

DONE, MISSING, FAILED = "done", "missing", "failed"


def row_record(
    result: PaperResult,
    row: Row,
    runner: Runner,
    seeds: Sequence[int],
    *,
    errors: Mapping[int, str],
    before: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Record of a resolved row.

    Args:
      result: result that the row belongs to.
      row: see ``Runner.resolve``.
      runner: runner of the row.
      seeds: requested seeds.
      errors: seed → last line of a failed command.
      before: runs in an older record. Those that the runner would repeat, but lacks, are kept.
    """
    found = {run["seed"]: run for run in before if runner.would_repeat(row, run)}
    for seed in seeds:
        contents = runner.read(row, seed)
        if contents is not None:
            scores = result.read(row, contents)
            found[seed] = {**runner.provenance(row, seed), "scores": scores}
    runs = [found[seed] for seed in sorted(found)]
    status = FAILED if errors else DONE if set(seeds) <= set(found) else MISSING
    return {
        "row": row.name,
        "data": row.data,
        "model": row.model,
        "status": status,
        "errors": {str(seed): text for seed, text in errors.items()},
        "paper": row.paper,
        "mean_std": spread([run["scores"] for run in runs]),
        "runs": runs,
    }


def spread(runs: Sequence[Mapping[str, Mapping[str, float | None]]]) -> dict[str, dict[str, Any]]:
    """Mean and sample standard deviation over runs, of each column's scores.

    Runs that lack a number are left out of its mean; the deviation of a single number is None.
    """
    content: dict[str, dict[str, Any]] = {}
    for column in dict.fromkeys(name for run in runs for name in run):
        content[column] = {}
        for score in dict.fromkeys(s for run in runs for s in run.get(column, {})):
            found = [run.get(column, {}).get(score) for run in runs]
            values = [value for value in found if value is not None]
            if values:
                deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
                content[column][score] = {
                    "mean": float(np.mean(values)),
                    "std": deviation,
                    "runs": len(values),
                }
    return content
