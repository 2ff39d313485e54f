"""Effect of the authors' choices: the quickstart with one of them at a time, and with all.

The choices are those of ``configs/provide.py`` that differ from the paper's text or go beyond it.
Each row is trained for 500 updates on single frames and 200 on clips of 5 frames, less than half of
the quickstart's. All rows change the quickstart itself, whose frames start from the prior, and are
tested with one noise sample.
"""

from collections.abc import Mapping
from typing import Any

from experiments.result import PaperResult, RequestError, Row
from experiments.systems import (
    ONE_DRAW,
    PER_FRAME,
    QUICKSTART,
    SCORES,
    ablated_lengths,
    decomposition_scores,
    evaluation,
    ours,
)

WHITE = "white balls"
_PRIOR = {"model.inference.posterior_start": "prior"}
_START = {
    "model.inference.posterior_start": "learned",
    "model.inference.first_sample": "clip",
    "model.inference.simulation_start": "learned",
}
_CELL = {"model.refiner.cell": "mixing"}
_TRAILING = {"model.inference.grid": "trailing"}
_WEIGHTS = {"model.objective.step_weights": "shared"}
_ALL = {
    **_START,
    **_CELL,
    **_TRAILING,
    **_WEIGHTS,
    "model.inference.first_prior": "learned",
    "model.inference.posterior_mask": "softmax",
    "model.decoder.mlp_elu": True,
    "model.prior.form": "softplus",
    "evaluate.noise": "all",
}
_WHITE = {"data.options.colors": "binary", "model.objective.beta": 30.0}

# Data, model, and what is changed.
_ROWS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    (QUICKSTART, "as it is", _PRIOR),
    (QUICKSTART, "all of the authors' choices", _ALL),
    (QUICKSTART, "start of a frame", _START),
    (QUICKSTART, "trailing refinement", {**_PRIOR, **_TRAILING}),
    (QUICKSTART, "cell", {**_PRIOR, **_CELL}),
    (QUICKSTART, "weights", {**_PRIOR, **_WEIGHTS}),
    (WHITE, "as it is", {**_WHITE, **_PRIOR}),
    (WHITE, "all of the authors' choices", {**_WHITE, **_ALL}),
)


def result(scale: str) -> PaperResult:
    """The study; it exists at the small scale only.

    Raises:
      RequestError: another scale is asked for.
    """
    if scale != "small":
        raise RequestError("authors is a study of the small configs: use --scale=small")
    rows = [
        Row(
            data=data,
            model=model,
            training=ours(scale, QUICKSTART, {**ONE_DRAW, **changes}),
            measurements=(evaluation(scale),),
        )
        for data, model, changes in _ROWS
    ]
    return PaperResult(
        name="authors",
        title="What the authors' choices are worth",
        note="The quickstart with a choice of the authors' code (`configs/provide.py`) in place of "
        "its own: 500 updates on single frames and 200 on clips of 5 frames; one noise sample at "
        f"test. White balls have β = 30. Not in the paper. {PER_FRAME}",
        columns=ablated_lengths(scale),
        scores={**SCORES, "slot_switches": "slot switches"},
        rows=tuple(rows),
        read=decomposition_scores,
        draw=None,
    )
