"""Table 1: decomposition of clips of 10, 20, 30 and 40 frames, beside R-NEM, IODINE and SAVi.

IODINE is applied to each frame separately: the paper gives one number, "on each frame of the
longest sequence". SEQ-IODINE's gradients are clamped on binary balls at 20 and more frames only
(A.3). SAVi is not in the paper.
"""

from experiments.result import PaperResult, Row, Scores
from experiments.systems import (
    CLEVRER,
    PER_FRAME,
    R_NEM_START,
    SCORES,
    at,
    data_sets,
    decomposition_scores,
    eight_samples,
    evaluation,
    iodine,
    ours,
    over_lengths,
    r_nem,
    savi,
    seq_iodine,
)

_R_NEM = over_lengths(
    (0.5031, 0.6199, 0.6632, 0.6833),
    (0.6259, 0.7325, 0.7708, 0.7899),
    (0.0252, 0.0138, 0.0096, 0.0076),
)
_IODINE = {
    "binary": at("40", 0.0318, 0.9986, 0.0018),
    "color": at("40", 0.5841, 0.9752, 0.0014),
    CLEVRER: at("40", 0.1791, 0.9316, 0.0004),
}
_SEQ_IODINE = {
    "binary": over_lengths(
        (0.0230, 0.0223, 0.0021, -0.0201),
        (0.8645, 0.6028, 0.5444, 0.4063),
        (0.0385, 0.0782, 0.0846, 0.0968),
    ),
    "color": over_lengths(
        (0.3789, 0.3743, 0.3225, 0.2654),
        (0.7517, 0.8159, 0.7537, 0.6734),
        (0.0160, 0.0164, 0.0217, 0.0270),
    ),
    CLEVRER: over_lengths(
        (0.1171, 0.1378, 0.1558, 0.1684),
        (0.8520, 0.8774, 0.8780, 0.8759),
        (0.0009, 0.0009, 0.0010, 0.0010),
    ),
}
_OUR = {
    "binary": over_lengths((0.7169, 0.7263, 0.7286, 0.7294), (0.9999,) * 4, (0.0004,) * 4),
    "color": over_lengths(
        (0.7275, 0.7291, 0.7298, 0.7301), (1.0, 1.0, 0.9999, 0.9999), (0.0002,) * 4
    ),
    CLEVRER: over_lengths(
        (0.2220, 0.2403, 0.2555, 0.2681), (0.9182, 0.9258, 0.9309, 0.9312), (0.0003,) * 4
    ),
}


def result(scale: str) -> PaperResult:
    """The table at a scale."""
    rows = []
    for data in data_sets(scale):
        if data == "binary":
            rows.append(_row(scale, data, "R-NEM"))
        rows += [_row(scale, data, model) for model in ("IODINE", "SEQ-IODINE", "SAVi", "Our")]
        rows += eight_samples(scale, data)
    return PaperResult(
        name="table1_decomposition",
        title="Table 1: scene decomposition",
        note=f"4 balls, or 3 to 5 objects, at 10 to 40 frames. {PER_FRAME} {R_NEM_START}",
        columns=("10", "20", "30", "40"),
        scores=SCORES,
        rows=tuple(rows),
        read=decomposition_scores,
        draw=None,
    )


def _row(scale: str, data: str, model: str) -> Row:
    measurements = [evaluation(scale)]
    paper: Scores = {}
    if model == "SAVi":
        training = savi(scale, data)
    elif model == "R-NEM":
        training, paper = r_nem(scale), _R_NEM
    elif model == "Our":
        training, paper = ours(scale, data), _OUR[data]
    elif model == "IODINE":
        training, paper = iodine(scale, data), _IODINE[data]
    else:
        training, paper = iodine(scale, data), _SEQ_IODINE[data]
        suffixes = ("", "_10") if data == "binary" else ("",)
        configs = [seq_iodine(scale, data, suffix=suffix) for suffix in suffixes]
        measurements = [evaluation(scale, config=config) for config in configs]
    return Row(
        data=data, model=model, training=training, measurements=tuple(measurements), paper=paper
    )
