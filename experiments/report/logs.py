"""Charts of the rows of a log: every scalar over the steps, one curve per split."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.curves import Curve, line_chart
from experiments.report.markup import Html
from experiments.report.tables import NAMES, display_name
from stiid.data.spacing import spaced

_POINTS = 300  # of a curve
_FIXED = ("step", "split", "time", "minute", "num_frames")


def log_charts(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], *, marks: Sequence[float] = ()
) -> list[Html]:
    """Make a chart for every scalar, first those of evaluations, then those of training.

    Args:
      runs: label of a run ("" if there is only one) → rows of its log, which have a "step" and, if
        there are several, a "split".
      marks: steps to mark.
    """
    splits = dict.fromkeys(row.get("split", "") for rows in runs.values() for row in rows)
    groups: dict[str, list[str]] = {"evaluation": [], "training": []}
    for split in splits:
        measured = split == "slots" or split.startswith("eval")
        groups["evaluation" if measured else "training"].append(split)
    figures = []
    for group, members in groups.items():
        chosen = {
            (name, split): [row for row in rows if row.get("split", "") == split]
            for name, rows in runs.items()
            for split in members
        }
        scalars = dict.fromkeys(key for rows in chosen.values() for row in rows for key in row)
        ordered = [name for name in (*NAMES, *scalars) if name in scalars and name not in _FIXED]
        for scalar in dict.fromkeys(ordered):
            curves = [
                Curve(_label(name, split), _points(part, scalar))
                for (name, split), part in chosen.items()
                if any(scalar in row for row in part)
            ]
            title = f"{display_name(scalar)}, {group}" if any(members) else display_name(scalar)
            figures.append(line_chart(title, curves, marks=marks))
    return figures


def stage_ends(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The last logged steps before the number of frames changes in training."""
    lengths = [(row["step"], row["num_frames"]) for row in rows if "num_frames" in row]
    return [step for (step, before), (_, after) in itertools.pairwise(lengths) if before != after]


def _points(rows: Sequence[Mapping[str, Any]], scalar: str) -> list[tuple[float, float]]:
    """At most ``_POINTS`` evenly spaced points of a curve, including the first and the last."""
    values = [(row["step"], row[scalar]) for row in rows if scalar in row]
    kept = spaced(len(values), _POINTS)
    return [(x, math.nan if y is None else y) for x, y in (values[i] for i in kept)]


def _label(name: str, split: str) -> str:
    words = [name, split.removeprefix("eval_") + " frames" if split.startswith("eval_") else split]
    return " · ".join(word for word in words if word)
