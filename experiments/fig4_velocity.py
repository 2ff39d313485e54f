"""Figure 4: cosine similarity of velocities in 5 simulated frames after 10 inferred ones.

Velocities are those of the centers of bounding boxes, over two frames as in DDPAE's own scores; for
DDPAE, those of the positions that it infers. Slots are matched to balls one to one by their
observed positions ("hungarian"), and by DDPAE's rule ("nearest"), which leaves out clips where two
slots get the same ball. The paper shows curves, not numbers; SAVi is not in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.plots import SeedCurve, save_curves
from experiments.prediction import PARTS
from experiments.result import MODEL, PaperResult, Row, Scores, Training
from experiments.systems import ddpae, ours, savi, simulation

_FRAMES = ("1", "2", "3", "4", "5")


def result(scale: str) -> PaperResult:
    """The figure at a scale."""
    rows = [
        _row(scale, "binary", "DDPAE", ddpae(scale)),
        _row(scale, "binary", "Our", ours(scale, "binary")),
        _row(scale, "binary", PARTS[2].capitalize(), ours(scale, "binary"), PARTS[2]),
        _row(scale, "binary", "SAVi", savi(scale, "binary")),
        _row(scale, "color", "Our", ours(scale, "color")),
        _row(scale, "color", "SAVi", savi(scale, "color")),
    ]
    return PaperResult(
        name="fig4_velocity",
        title="Figure 4: velocities",
        note="Of the balls in 5 simulated frames after 10 inferred ones.",
        columns=_FRAMES,
        scores={
            "cosine": "cosine, one to one",
            "relative": "relative error of the speed, one to one",
            "cosine_nearest": "cosine, DDPAE's matching",
            "excluded_nearest": "share of clips that DDPAE's matching leaves out",
        },
        rows=tuple(rows),
        read=_read,
        draw=_draw,
    )


def _row(scale: str, data: str, model: str, training: Training, part: str = MODEL) -> Row:
    measured = simulation(scale, observed=10, simulated=5)
    return Row(data=data, model=model, training=training, measurements=(measured,), part=part)


def _read(row: Row, contents: Sequence[Mapping[str, Any]]) -> Scores:
    velocity = contents[0]["parts"][row.part]["velocity"]
    ours, theirs = velocity["hungarian"], velocity["nearest"]
    return {
        frame: {
            "cosine": ours["cosine"][t],
            "relative": ours["relative"][t],
            "excluded": ours["excluded"],
            "cosine_nearest": theirs["cosine"][t],
            "relative_nearest": theirs["relative"][t],
            "excluded_nearest": theirs["excluded"],
        }
        for t, frame in enumerate(_FRAMES)
    }


def _draw(
    stem: Path, records: Sequence[Mapping[str, Any]], folders: Sequence[Path | None]
) -> list[Path]:
    curves = [
        SeedCurve.of(record, "cosine", _FRAMES, label=f"{record['model']}, {record['data']}")
        for record in records
    ]
    panels = {"Cosine similarity of velocities": curves}
    return save_curves(stem, panels, x_label="simulated frame")
