"""Figure 14: walks along single latent dimensions of single slots, and scores on balls.

The paper shows color, size and position of CLEVRER's objects, and gives no numbers. Here the
dimensions with the largest effect on the image are shown, whatever they encode. R² says how well a
linear function of z predicts position, color and size of a ball on held-out clips.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.disentanglement import PROPERTIES
from experiments.plots import save_figure
from experiments.result import WALK, Measurement, PaperResult, Row, Scores
from experiments.systems import data_sets, on_test, ours

_COLUMN = "R²"


def result(scale: str) -> PaperResult:
    """The figure at a scale."""
    rows = [
        Row(
            data=data,
            model="Our",
            training=ours(scale, data),
            measurements=(Measurement(program=WALK, changes=on_test(scale)),),
        )
        for data in data_sets(scale)
    ]
    return PaperResult(
        name="fig14_latent_walk",
        title="Figure 14: latent walks",
        note="R² of a line from a slot's z to what its ball is like, on held-out clips.",
        columns=(_COLUMN,),
        scores={name: name for name in PROPERTIES},
        rows=tuple(rows),
        read=_read,
        draw=_draw,
    )


def _read(row: Row, contents: Sequence[Mapping[str, Any]]) -> Scores:
    return {_COLUMN: contents[0]["r2"]}


def _draw(
    stem: Path, records: Sequence[Mapping[str, Any]], folders: Sequence[Path | None]
) -> list[Path]:
    """Draw one figure for each data set: walks as rows, offsets as columns."""
    written = []
    for record, folder in zip(records, folders, strict=True):
        if folder is None:
            continue
        content = json.loads((folder / WALK.writes).read_text())
        with np.load(folder / "walk.npz") as file:
            images = file["images"]
        figure = _grid(images, content["walks"], content["offsets"])
        written += save_figure(stem.with_name(f"{stem.name}_{record['data']}"), figure)
    return written


def _grid(
    images: np.ndarray, walks: Sequence[Mapping[str, Any]], offsets: Sequence[float]
) -> Figure:
    rows, columns = images.shape[:2]
    figure = Figure(figsize=(1.1 * columns + 1.4, 1.15 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for row, (line, one) in enumerate(zip(grid, walks, strict=True)):
        for column, axes in enumerate(line):
            image = np.clip(images[row, column], 0, 1)
            axes.imshow(np.broadcast_to(image, (*image.shape[:2], 3)))
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(f"{offsets[column]:g} σ", fontsize="small")
        line[0].set_ylabel(f"slot {one['slot']}\nz {one['dimension']}", fontsize="small")
    return figure
