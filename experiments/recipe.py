"""What makes the small models learn: the quickstart with one change at a time (not in the paper).

Each row is trained for 500 updates on single frames and 200 on clips of 5 frames, less than half of
the quickstart's; without single frames, for as many updates on clips as take the same time. Frames
start from the last posterior, except in the row where they start from the prior; the quickstart
adopted that row's choice.
"""

from collections.abc import Mapping
from typing import Any

from experiments.result import PaperResult, RequestError, Row
from experiments.systems import (
    PER_FRAME,
    QUICKSTART,
    SCORES,
    ablated_lengths,
    decomposition_scores,
    evaluation,
    ours,
)

_STILLS = "train.stages.stage_0.model.objective.psi"

# Row → fields that it changes.
_FACTORS: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "no gradient skip": {"model.inference.gradient_skip": 0.0},
    "initial variance 1": {"model.inference.init_log_var": 0.0},
    "initial variance 0.37": {"model.inference.init_log_var": -1.0},
    "psi 1 from the start": {_STILLS: 1.0, "model.objective.psi": 1.0},
    "psi 0.1 throughout": {"model.objective.psi": 0.1},
    "coordinates alone": {"model.decoder.frequencies": ()},
    "position features added, not scaled": {"model.decoder.modulated": False},
    "decoder kernel 3": {"model.decoder.kernel_size": 3},
    "decoder width 16": {"model.decoder.features": 16},
    "decoder width 64": {"model.decoder.features": 64},
    "no single frames": {"train.stages.stage_0.steps": 0, "train.stages.stage_1.steps": 420},
    "frame starts from the prior": {"model.inference.posterior_start": "prior"},
    "mixture per pixel": {"model.inference.mixture": "pixel"},
    "variance 0.09": {"model.inference.variance": 0.09},
    "gamma 0.03": {"model.objective.gamma": 0.03},
    "gamma -0.03": {"model.objective.gamma": -0.03},
    "slot entropy 0.1": {"model.objective.slot_entropy": 0.1},
    "6 slots": {"model.num_slots": 6, "evaluate.num_slots": 6},
    "refinement without images": {"model.refiner.layers": 0},
    "full grid": {"model.inference.grid": "full"},
}


def result(scale: str) -> PaperResult:
    """The study; it exists at the small scale only.

    Raises:
      ValueError: another scale is asked for.
    """
    if scale != "small":
        raise RequestError("recipe is a study of the small configs: use --scale=small")
    rows = [
        Row(
            data=QUICKSTART,
            model=name,
            training=ours(scale, QUICKSTART, changes),
            measurements=(evaluation(scale),),
        )
        for name, changes in _FACTORS.items()
    ]
    return PaperResult(
        name="recipe",
        title="What makes the small models learn",
        note="The quickstart, but for frames that start from the last posterior, with one thing "
        "changed: 500 updates on single frames and 200 on clips of 5; one noise sample at test. "
        f"Not in the paper. {PER_FRAME}",
        columns=ablated_lengths(scale),
        scores=SCORES,
        rows=tuple(rows),
        read=decomposition_scores,
        draw=None,
    )
