"""Rows of a table that are trained on the tiny experiment."""

from experiments.result import (
    EVALUATE,
    Measurement,
    Row,
    Training,
)

CONFIG = "tests/tiny.py"


QUICK = {"train.stages.stage_0.steps": 1, "train.stages.stage_1.steps": 0}


def tiny_row(model, **changes):
    return Row(
        data="tiny",
        model=model,
        training=Training(config=CONFIG, changes={**QUICK, **changes}),
        measurements=(Measurement(program=EVALUATE, changes={"evaluate.clips": 8}),),
        paper={"4": {"mse": 0.5}},
    )
