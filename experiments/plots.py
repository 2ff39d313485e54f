"""Curves over columns of a result, as PNG and PDF."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stiid.files import atomic_path
from stiid.outputs.palette import PALETTE

# The same numbers give the same files.
_METADATA: Mapping[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}


class SeedCurve(NamedTuple):
    """A curve with its spread over seeds."""

    label: str
    x: np.ndarray
    mean: np.ndarray  # NaN where there is nothing
    std: np.ndarray  # 0 if there is one seed

    @classmethod
    def of(
        cls, record: Mapping[str, Any], score: str, columns: Sequence[str], *, label: str
    ) -> "SeedCurve":
        """Curve of a score in a row's record, over columns that are numbers."""
        cells = [record["mean_std"].get(column, {}).get(score) for column in columns]
        mean = [np.nan if cell is None else cell["mean"] for cell in cells]
        std = [0.0 if cell is None or cell["std"] is None else cell["std"] for cell in cells]
        return cls(label, np.array(columns, float), np.array(mean, float), np.array(std, float))


def save_curves(
    stem: Path, panels: Mapping[str, Sequence[SeedCurve]], *, x_label: str
) -> list[Path]:
    """Save panels side by side, each with its title; a label has the same color in all.

    The legend is beside the panels, where it covers nothing.
    """
    labels = list(dict.fromkeys(curve.label for curves in panels.values() for curve in curves))
    figure = Figure(figsize=(2.4 + 3.9 * len(panels), 4.0), layout="constrained")
    lines: dict[str, Line2D] = {}
    for axes, (title, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for curve in curves:
            if np.isnan(curve.mean).all():
                continue  # not run yet
            color = PALETTE[labels.index(curve.label) % len(PALETTE)] / 255
            (lines[curve.label],) = axes.plot(curve.x, curve.mean, marker="o", color=color)
            low, high = curve.mean - curve.std, curve.mean + curve.std
            axes.fill_between(curve.x, low, high, color=color, alpha=0.2, linewidth=0)
        axes.set(title=title, xlabel=x_label, xticks=panels[title][0].x)
        axes.grid(alpha=0.3)
    if lines:
        figure.legend(lines.values(), lines.keys(), loc="outside right center", fontsize="small")
    return save_figure(stem, figure)


def save_figure(stem: Path, figure: Figure) -> list[Path]:
    """Save a figure as ``STEM.png`` and ``STEM.pdf``."""
    written = []
    for suffix, metadata in _METADATA.items():
        path = stem.with_name(f"{stem.name}{suffix}")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
        written.append(path)
    return written
