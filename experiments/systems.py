"""Parts of rows: the models of the paper's tables, their data, and their tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.result import EVALUATE, SIMULATE, Changes, Measurement, Row, Scores, Training

BALLS = ("binary", "color")
CLEVRER = "clevrer"
QUICKSTART = "quickstart"

# The quickstart of the studies: less than half of its updates, so that two cores can train many
# rows, and frames that start from the last posterior, as in the paper's configs at that time.
_STUDY = {
    "train.stages.stage_0.steps": 500,
    "train.stages.stage_1.steps": 200,
    "model.inference.posterior_start": "posterior",
}

# The test clips of 6 to 8 balls, as in the variants of configs/bouncing_balls.py with these
# endings.
MORE_BALLS = {
    "data.options.num_balls": (6, 7, 8),
    "data.options.train": 0,
    "data.options.validation": 0,
    "evaluate.num_slots": 9,
}

_COLORS = {
    "paper": {4: "authors4", 8: "authors8"},
    "small": {4: "repeated4", 8: "unique8"},
}

# The paper's single noise sample at test, for all models and configs.
ONE_DRAW = {"evaluate.restarts": 1}

SCORES = {
    "ari_authors": "ARI as the authors",
    "f_ari_authors": "F-ARI as the authors",
    "ari_frame": "ARI per frame",
    "f_ari_frame": "F-ARI per frame",
    "mse": "MSE",
    "ari": "ARI per clip",
    "f_ari": "F-ARI per clip",
    "miou": "mIoU per clip",
    "recall": "object recall per clip",
}
PER_FRAME = (
    "The paper's (F-)ARI is that of its authors' code: the mean over all frames of each frame's "
    "own score, where F-ARI is 1 without objects. Per frame, frames without objects do not count: "
    "the same for balls, which are always in view. Per clip, a slot that changes its object costs."
)
R_NEM_START = (
    "Frame 0 of R-NEM, its random start, counts; without it, as in the original's scores, its "
    "F-ARI per frame is T / (T − 1) times as high."
)
_ABLATED = (
    "All on the three colored balls of `configs/quickstart.py`, 500 updates on single frames and "
    "200 on clips; frames start from the last posterior; the paper's numbers are of its {data} "
    "balls."
)


def data_sets(scale: str) -> tuple[str, ...]:
    """Data sets at a scale; the small scale has no CLEVRER."""
    return (*BALLS, CLEVRER) if scale == "paper" else BALLS


def ablated(scale: str) -> tuple[str, ...]:
    """The data of tables that train the model again for every row."""
    return data_sets(scale) if scale == "paper" else (QUICKSTART,)


def ours(scale: str, data: str, changes: Changes | None = None) -> Training:
    """The paper's model on ``data``; on the quickstart's data, the base of ablations."""
    if data == QUICKSTART:
        changes = {**_STUDY, **(changes or {})}
        return Training(config="configs/quickstart.py", changes=changes)
    if data == CLEVRER:
        return Training(config="configs/clevrer.py:default", changes=changes or {})
    return Training(config=_config("bouncing_balls", scale, data), changes=changes or {})


def iodine(scale: str, data: str) -> Training:
    """IODINE on ``data``; SEQ-IODINE shares its training."""
    return Training(config=_config("iodine", scale, data))


def seq_iodine(scale: str, data: str, *, suffix: str = "") -> str:
    """The config that tests ``iodine`` as a sequence."""
    return _config("iodine", scale, data, prefix="seq_", suffix=suffix)


def r_nem(scale: str) -> Training:
    """R-NEM on binary balls; it cannot model color."""
    return Training(config=f"configs/rnem.py:{'r_nem' if scale == 'paper' else 'small'}")


def ddpae(scale: str) -> Training:
    """DDPAE on binary balls."""
    return Training(config=_config("ddpae", scale, "binary"))


def savi(scale: str, data: str) -> Training:
    """SAVi on ``data``, without hints about the first frame. It is not in the paper."""
    return Training(config=_config("savi", scale, data))


def ablated_lengths(scale: str) -> tuple[str, ...]:
    """The lengths at which ``ablated`` is scored, as in its config."""
    return ("10", "20", "30", "40") if scale == "paper" else ("10", "20")


def about_ablated(scale: str, *, data: str) -> str:
    """Note on ``ablated``, whose rows are compared with the paper's numbers on ``data``."""
    return PER_FRAME if scale == "paper" else f"{_ABLATED.format(data=data)} {PER_FRAME}"


def more_balls(scale: str, colors: int) -> dict[str, Any]:
    """Changes that test a model of balls in color on 6 to 8 of them: in 4 colors, or in 8."""
    return {**MORE_BALLS, "data.options.colors": _COLORS[scale][colors]}


def on_test(scale: str, changes: Changes | None = None) -> dict[str, Any]:
    """Changes that take the test clips: all of them, or 128 at the small scale."""
    clips = 0 if scale == "paper" else 128
    return {"evaluate.split": "test", "evaluate.clips": clips, **(changes or {})}


def evaluation(
    scale: str, changes: Changes | None = None, config: str | None = None
) -> Measurement:
    """Scores at the lengths of the config."""
    return Measurement(
        program=EVALUATE, config=config, changes=on_test(scale, {**ONE_DRAW, **(changes or {})})
    )


def simulation(scale: str, *, observed: int, simulated: int) -> Measurement:
    """Scores of simulated frames."""
    frames = {"predict.num_observed": observed, "predict.num_simulated": simulated}
    return Measurement(program=SIMULATE, changes=on_test(scale, {**ONE_DRAW, **frames}))


def eight_samples(scale: str, data: str) -> list[Row]:
    """Rows of our model with eight noise samples, which is not the paper's protocol.

    The second row has the paper's triangular grid, which the small configs do not use at test.
    """
    if scale == "paper":
        return []
    triangular = {
        "evaluate.model.inference.grid": "triangular",
        "evaluate.model.inference.refinements": 4,
    }
    return [
        Row(
            data=data,
            model=model,
            training=ours(scale, data),
            measurements=(evaluation(scale, {"evaluate.restarts": 8, **changes}),),
        )
        for model, changes in (
            ("Our, 8 noise samples", {}),
            ("Our, 8 noise samples, triangular grid", triangular),
        )
    ]


def decomposition_scores(row: Row, contents: Sequence[Mapping[str, Any]]) -> Scores:
    """All scores of ``eval/metrics.json``, by length."""
    return {length: scores for content in contents for length, scores in content["lengths"].items()}


def at(column: str, ari: float, f_ari: float, mse: float) -> Scores:
    """Put the paper's three numbers into one column."""
    return {column: {"ari_authors": ari, "f_ari_authors": f_ari, "mse": mse}}


def over_lengths(
    ari: Sequence[float], f_ari: Sequence[float], mse: Sequence[float]
) -> dict[str, Mapping[str, float | None]]:
    """The paper's numbers at 10, 20, 30 and 40 frames."""
    columns: dict[str, Mapping[str, float | None]] = {}
    for number, numbers in enumerate(zip(ari, f_ari, mse, strict=True), 1):
        columns |= at(f"{10 * number}", *numbers)
    return columns


def _config(file: str, scale: str, data: str, *, prefix: str = "", suffix: str = "") -> str:
    small = "" if scale == "paper" else "small_"
    return f"configs/{file}.py:{prefix}{small}{data}{suffix}"
