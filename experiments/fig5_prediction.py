"""Figures 5 and 8: (F-)ARI and MSE of 3, 5, 7 and 10 simulated frames after 20 inferred ones.

The paper shows curves, not numbers. Two trivial predictions, from what our model inferred in the
observed frames, are added: the last frame repeated, and slots that keep their last velocity. So is
SAVi, which is not in the paper.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.plots import SeedCurve, save_curves
from experiments.prediction import PARTS
from experiments.result import MODEL, PaperResult, Row, Scores, Training
from experiments.systems import CLEVRER, SCORES, data_sets, ours, r_nem, savi, simulation

_HORIZONS = ("3", "5", "7", "10")


def result(scale: str) -> PaperResult:
    """The figures at a scale."""
    rows = []
    for data in data_sets(scale):
        if data == "binary":
            rows.append(_row(scale, data, "R-NEM", r_nem(scale)))
        rows.append(_row(scale, data, "SAVi", savi(scale, data)))
        rows.append(_row(scale, data, "Our", ours(scale, data)))
        for part in PARTS[1:]:
            rows.append(_row(scale, data, part.capitalize(), ours(scale, data), part))
    return PaperResult(
        name="fig5_prediction",
        title="Figures 5 and 8: prediction",
        note="Means over the first 3, 5, 7 and 10 simulated frames after 20 inferred ones.",
        columns=_HORIZONS,
        scores=SCORES,
        rows=tuple(rows),
        read=_read,
        draw=_draw,
    )


def _row(scale: str, data: str, model: str, training: Training, part: str = MODEL) -> Row:
    measured = simulation(scale, observed=20, simulated=10)
    return Row(data=data, model=model, training=training, measurements=(measured,), part=part)


def _read(row: Row, contents: Sequence[Mapping[str, Any]]) -> Scores:
    return contents[0]["parts"][row.part]["horizons"]


def _draw(
    stem: Path, records: Sequence[Mapping[str, Any]], folders: Sequence[Path | None]
) -> list[Path]:
    """Draw Figure 5 with panels of (F-)ARI, and Figure 8 of MSE, for balls and CLEVRER."""
    written = []
    for name, scores in (("", ("f_ari_frame", "ari_frame")), ("_mse", ("mse",))):
        panels = {}
        for title, data in (("Bouncing Balls", ("binary", "color")), ("CLEVRER", (CLEVRER,))):
            chosen = [record for record in records if record["data"] in data]
            for score in scores:
                curves = [
                    SeedCurve.of(
                        record, score, _HORIZONS, label=f"{record['model']}, {record['data']}"
                    )
                    for record in chosen
                ]
                if curves:
                    panels[f"{title}: {SCORES[score]}"] = curves
        written += save_curves(
            stem.with_name(f"{stem.name}{name}"), panels, x_label="simulated frames"
        )
    return written
