"""The paper's animations (F.5), with its file names: scene, masks and each slot's own image.

GIF, MP4 and a sheet of one test clip each. Lengths are the paper's: 50 frames of 4 balls and
of 5 CLEVRER objects, 40 of 6 to 8 balls, 45 of 6 CLEVRER objects, and 40 + 10 of the prediction.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.result import PREDICT, Changes, Measurement, PaperResult, Row, Scores
from experiments.systems import CLEVRER, MORE_BALLS, SCORES, data_sets, more_balls, on_test, ours
from stiid.files import atomic_path

# Name → data, frames inferred and simulated, and what the test changes.
_ANIMATIONS: Mapping[str, tuple[str, int, int, Changes]] = {
    "bb_binary_4_balls": ("binary", 50, 0, {}),
    "bb_binary_6_8_balls": ("binary", 40, 0, MORE_BALLS),
    "bb_colored_4_balls": ("color", 50, 0, {}),
    "bb_colored_6_8_balls": ("color", 40, 0, MORE_BALLS),
    "bb_colored_predict": ("color", 40, 10, {}),
    "clevrer_5obj": (CLEVRER, 50, 0, {"data.options.objects": (5,), "data.options.frames": 50}),
    "clevrer_6obj": (
        CLEVRER,
        45,
        0,
        {
            "data.options.objects": (6,),
            "data.options.frames": 45,
            "evaluate.num_slots": 7,
        },
    ),
}


def result(scale: str) -> PaperResult:
    """The animations at a scale."""
    return PaperResult(
        name="animations",
        title="Animations",
        note="Scores are those of the one clip that is shown.",
        columns=("observed", "simulated"),
        scores=SCORES,
        rows=tuple(
            _row(scale, name)
            for name, (data, *_) in _ANIMATIONS.items()
            if data in data_sets(scale)
        ),
        read=_read,
        draw=_draw,
    )


def _row(scale: str, name: str) -> Row:
    data, observed, simulated, test = _ANIMATIONS[name]
    if (data, test) == ("color", MORE_BALLS):
        test = more_balls(scale, 4)
    changes = {
        "predict.clips": 1,
        "predict.num_observed": observed,
        "predict.num_simulated": simulated,
        **test,
    }
    return Row(
        data=data,
        model=name,
        training=ours(scale, data),
        measurements=(Measurement(program=PREDICT, changes=on_test(scale, changes)),),
    )


def _read(row: Row, contents: Sequence[Mapping[str, Any]]) -> Scores:
    parts = ("observed", "simulated")
    return {part: contents[0][part] for part in parts if part in contents[0]}


def _draw(
    stem: Path, records: Sequence[Mapping[str, Any]], folders: Sequence[Path | None]
) -> list[Path]:
    written = []
    stem.mkdir(parents=True, exist_ok=True)
    for record, folder in zip(records, folders, strict=True):
        for suffix in (".gif", ".mp4", ".png") if folder else ():
            path = stem / f"{record['model']}{suffix}"
            with atomic_path(path) as temporary:
                shutil.copyfile(folder / "predict" / f"clip_00{suffix}", temporary)
            written.append(path)
    return written
