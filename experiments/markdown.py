"""Write a result as Markdown: our numbers, the paper's, and the origin of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.records import FAILED, MISSING
from experiments.result import Changes, PaperResult, arguments

_NOTHING = "–"


def table(
    result: PaperResult,
    scale: str,
    records: Sequence[Mapping[str, Any]],
    *,
    seeds: Sequence[int],
    changes: Changes,
) -> str:
    """Text of ``results/NAME-SCALE.md``.

    A cell is mean ± sample standard deviation over seeds; the paper's number follows in brackets.
    """
    options = (f"--scale={scale}", f"--seeds={len(seeds)}")
    command = ("python -m experiments.run", result.name, *options)
    brackets = " In brackets: the paper's numbers." if any(r.paper for r in result.rows) else ""
    lines = [
        f"# {result.title} ({scale} scale)",
        "",
        f"{result.note}{brackets} Made by `{' '.join([*command, *arguments(changes)])}`.",
        "",
        *_rows(("data", "model", "score", *result.columns), _scores(result, records)),
        "",
    ]
    broken = [record for record in records if record["status"] == FAILED]
    for record in broken:
        for seed, error in record["errors"].items():
            lines.append(f"* **failed**: `{record['row']}`, seed {seed}: {error}")
    missing = [f"`{record['row']}`" for record in records if record["status"] == MISSING]
    if missing:
        lines.append(f"* not run, or not with all seeds: {', '.join(missing)}")
    if broken or missing:
        lines.append("")
    columns = ("row", "seed", "K", "R", "grid", "step", "minutes", "commit", "checkpoint")
    lines += _rows(columns, _origins(records))
    return "\n".join(lines) + "\n"


def _scores(result: PaperResult, records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for record in records:
        for score, label in result.scores.items():
            cells = [
                _cell(
                    record["mean_std"].get(column, {}).get(score),
                    record["paper"].get(column, {}).get(score),
                )
                for column in result.columns
            ]
            if set(cells) != {_NOTHING}:
                rows.append([record["data"], record["model"], label, *cells])
    return rows


def _cell(ours: Mapping[str, Any] | None, paper: float | None) -> str:
    number = _NOTHING
    if ours is not None:
        deviation = "" if ours["std"] is None else f" ± {_short(ours['std'])}"
        number = f"{_short(ours['mean'])}{deviation}"
    return number if paper is None else f"{number} ({_short(paper)})"


def _short(value: float) -> str:
    return f"{value:.4f}"


def _origins(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    names = ("slots", "refinements", "schedule", "step", "minutes", "commit", "checkpoint")
    return [
        [
            record["row"],
            str(run["seed"]),
            *(_NOTHING if run[name] is None else str(run[name]) for name in names),
        ]
        for record in records
        for run in record["runs"]
    ]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
