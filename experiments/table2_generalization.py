"""Table 2: more objects than in training: 6 to 8 balls with 9 slots, 6 CLEVRER objects with 7.

The clips have the options of ``bouncing_balls.py:binary_678``, ``color_678_4`` and ``color_678_8``
(at the small scale, of those that begin with ``small_``), for all models. The paper does not say at
what length it scores; its numbers are put at the longest one. SAVi is not in the paper; its small
configs start from learned slots, whose number is fixed, so that it has no row at the small scale.
"""

from collections.abc import Mapping
from typing import Any

from experiments.result import PaperResult, Row
from experiments.systems import (
    CLEVRER,
    MORE_BALLS,
    PER_FRAME,
    R_NEM_START,
    SCORES,
    at,
    data_sets,
    decomposition_scores,
    evaluation,
    iodine,
    more_balls,
    ours,
    r_nem,
    savi,
    seq_iodine,
)

_MORE_OBJECTS = {"data.options.objects": (6,), "evaluate.num_slots": 7}
# Label → data of the training.
_TRAINED = {"binary": "binary", "4 colors": "color", "8 colors": "color", CLEVRER: CLEVRER}
_PAPER = {
    ("binary", "R-NEM"): (0.4484, 0.6377, 0.0328),
    ("binary", "IODINE"): (0.0271, 0.9969, 0.0040),
    ("binary", "SEQ-IODINE"): (0.0263, 0.8874, 0.0521),
    ("binary", "Our"): (0.4453, 0.9999, 0.0008),
    ("4 colors", "IODINE"): (0.4136, 0.8211, 0.0138),
    ("4 colors", "SEQ-IODINE"): (0.2068, 0.5854, 0.0338),
    ("4 colors", "Our"): (0.4275, 0.9998, 0.0004),
    ("8 colors", "IODINE"): (0.2823, 0.7197, 0.0281),
    ("8 colors", "SEQ-IODINE"): (0.1571, 0.5231, 0.0433),
    ("8 colors", "Our"): (0.4317, 0.9900, 0.0114),
    (CLEVRER, "IODINE"): (0.2205, 0.9305, 0.0006),
    (CLEVRER, "SEQ-IODINE"): (0.1482, 0.8645, 0.0012),
    (CLEVRER, "Our"): (0.2839, 0.9355, 0.0004),
}


def result(scale: str) -> PaperResult:
    """The table at a scale."""
    return PaperResult(
        name="table2_generalization",
        title="Table 2: generalization to more objects",
        note=f"6 to 8 balls with 9 slots, or 6 objects with 7. {PER_FRAME} {R_NEM_START}",
        columns=("10", "20", "30", "40"),
        scores=SCORES,
        rows=tuple(
            _row(scale, test, model)
            for test, model in (*_PAPER, *_savi(scale))
            if _TRAINED[test] in data_sets(scale)
        ),
        read=decomposition_scores,
        draw=None,
    )


def _savi(scale: str) -> list[tuple[str, str]]:
    """Tests of SAVi, beyond the paper's."""
    return [(test, "SAVi") for test in _TRAINED] if scale == "paper" else []


def _row(scale: str, test: str, model: str) -> Row:
    data, changes = _TRAINED[test], _changes(scale, test)
    config = seq_iodine(scale, data) if model == "SEQ-IODINE" else None
    if model == "R-NEM":
        training = r_nem(scale)
    elif model == "SAVi":
        training = savi(scale, data)
    else:
        training = ours(scale, data) if model == "Our" else iodine(scale, data)
    return Row(
        data=test,
        model=model,
        training=training,
        measurements=(evaluation(scale, changes, config),),
        paper=at("40", *_PAPER[test, model]) if (test, model) in _PAPER else {},
    )


def _changes(scale: str, test: str) -> Mapping[str, Any]:
    """Changes of a test."""
    if test == CLEVRER:
        return _MORE_OBJECTS
    return MORE_BALLS if test == "binary" else more_balls(scale, int(test[0]))
