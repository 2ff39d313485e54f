"""Positions in a checkpoint that no run can reach are refused."""

import pytest
import tiny

from stiid.training.position import check_position, position_of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": 99}, r"is at step 3 of stage 99, but the config has 2 stages of \[3, 3\] steps"),
        ({"stage": -1}, r"of stage -1, but the config has 2 stages"),
        ({"step_in_stage": 10**6}, r"is at step 1000000 of stage"),
        ({"stage": "last"}, r"damaged \(progress\.stage: expected int, got 'last'\)"),
        ({"extra": 1}, r"unknown field\(s\) extra"),
    ],
)
def test_a_position_that_no_run_reaches_is_refused(changes, message, data_dir):
    experiment = tiny.experiment(data_dir)
    whole = {"stage": 1, "step_in_stage": 3, "skips": 0, "watch": {}, "processes": 1, "data": "a"}
    with pytest.raises(ValueError, match=message):
        check_position(
            position_of({**whole, **changes}, where=data_dir), experiment, where=data_dir
        )
    for stage, step in ((0, 0), (1, 3), (2, 0)):
        position = position_of({**whole, "stage": stage, "step_in_stage": step}, where=data_dir)
        check_position(position, experiment, where=data_dir)
