"""Show files of ``experiments.run``: scores, the paper's scores, and their origin."""

from collections.abc import Mapping
from typing import Any

from experiments.records import MISSING
from experiments.report.markup import Html, join
from experiments.report.page import facts
from experiments.report.tables import display_name, number_text, score_table

_DECIMALS = 4
_ORIGIN = ("slots", "refinements", "schedule", "step", "minutes", "commit", "checkpoint")


def is_experiment(content: Mapping[str, Any]) -> bool:
    """Whether a file contains a table or figure."""
    return {"result", "scale", "rows"} <= content.keys()


def described_experiment(content: Mapping[str, Any]) -> Html:
    """A table for each score, one of the runs, and what failed or was not run."""
    rows = content["rows"]
    scores = dict.fromkeys(
        score for row in rows for column in row["mean_std"].values() for score in column
    )
    general = {name: content[name] for name in ("scale", "hardware") if name in content}
    lacking = [row["row"] for row in rows if row["status"] == MISSING]
    errors = {
        f"{row['row']}, seed {seed} failed": text
        for row in rows
        for seed, text in row["errors"].items()
    }
    if lacking:
        general["not run, or not with all seeds"] = ", ".join(lacking)
    runs = {
        f"{row['row']}, seed {run['seed']}": {name: run.get(name) for name in _ORIGIN}
        for row in rows
        for run in row["runs"]
    }
    return join(
        facts({**general, **errors}),
        *(_scores(rows, score) for score in scores),
        score_table(runs, corner="run", caption="Runs") if runs else "",
    )


def _scores(rows: list[Mapping[str, Any]], score: str) -> Html:
    name = display_name(score)
    paper = any(score in column for row in rows for column in row["paper"].values())
    caption = f"{name}, mean ± deviation over seeds{' (the paper)' if paper else ''}"
    cells = {row["row"]: _cells(row, score) for row in rows}
    return score_table({k: v for k, v in cells.items() if v}, corner="row", caption=caption)


def _cells(row: Mapping[str, Any], score: str) -> dict[str, str]:
    cells = {}
    for column, found in row["mean_std"].items():
        if score in found:
            ours, paper = found[score], row["paper"].get(column, {}).get(score)
            text = number_text(ours["mean"], _DECIMALS)
            if ours["std"] is not None:
                text += f" ± {number_text(ours['std'], _DECIMALS)}"
            cells[column] = text if paper is None else f"{text} ({number_text(paper, _DECIMALS)})"
    return cells
