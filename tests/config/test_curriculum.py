"""Oracles: windows worked by hand, and a resumed watch against an uninterrupted one."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from stiid.config.curriculum import Stagnation, Watch, in_order


def make_watch(*, window=2, min_improvement=0.1, collapse_kl=0.5, patience=0, state=None):
    rule = Stagnation(
        window=window, min_improvement=min_improvement, collapse_kl=collapse_kl, patience=patience
    )
    return Watch(rule, state)


def verdicts(watch, losses, kls):
    """The verdict after each step."""
    seen = []
    for loss, kl in zip(losses, kls, strict=True):
        watch.observe(loss, kl)
        seen.append(watch.verdict)
    return seen


def test_a_stage_is_stagnant_when_a_window_improves_too_little():
    # Window means 10, 8 (20 % lower) and 7.5 (6 % lower than 8).
    losses = [11.0, 9.0, 9.0, 7.0, 7.0, 8.0]
    assert verdicts(make_watch(), losses, [5.0] * 6) == [None] * 5 + ["stagnant"]


def test_improvement_of_a_negative_loss_counts_by_its_magnitude():
    # −10 → −12 is better by 20 %; −12 → −12.6 by 5 %.
    losses = [-10.0, -10.0, -12.0, -12.0, -12.6, -12.6]
    assert verdicts(make_watch(), losses, [5.0] * 6) == [None] * 5 + ["stagnant"]


def test_a_worse_window_is_stagnant_even_if_no_improvement_is_asked_for():
    watch = make_watch(min_improvement=0.0)
    assert verdicts(watch, [1.0, 1.0, 1.0, 1.0], [5.0] * 4) == [None] * 4
    assert verdicts(watch, [1.1, 1.1], [5.0] * 2) == [None, "stagnant"]


def test_a_stage_has_collapsed_when_the_mean_kl_of_a_window_is_low():
    # Losses fall fast. KL: (0.9 + 0.2) / 2 = 0.55 is enough, (0.1 + 0.8) / 2 = 0.45 is not.
    losses = [8.0, 8.0, 4.0, 4.0]
    assert verdicts(make_watch(), losses, [0.9, 0.2, 0.1, 0.8]) == [None] * 3 + ["collapsed"]
    assert verdicts(make_watch(), losses[:2], [0.1, 0.1]) == [None, "collapsed"]


def test_window_zero_never_ends_a_stage():
    watch = make_watch(window=0, collapse_kl=1e9)
    assert verdicts(watch, [1.0] * 20, [0.0] * 20) == [None] * 20
    assert watch.state()["losses"] == []


STEPS = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.0, 2.0)), max_size=12)


@given(steps=STEPS, cut=st.integers(0, 12), window=st.integers(1, 4))
def test_a_watch_resumed_from_json_goes_on_exactly(steps, cut, window):
    whole, first = make_watch(window=window), make_watch(window=window)
    for step in steps:
        whole.observe(*step)
    for step in steps[:cut]:
        first.observe(*step)
    resumed = make_watch(window=window, state=json.loads(json.dumps(first.state())))
    assert resumed.verdict == first.verdict
    for step in steps[cut:]:
        resumed.observe(*step)
    assert resumed.state() == whole.state()


def test_saved_state_is_a_copy():
    watch = make_watch(window=3)
    watch.observe(1.0, 1.0)
    saved = watch.state()
    watch.observe(2.0, 1.0)
    assert saved["losses"] == [1.0]


def validate(watch, losses):
    """The verdict after each evaluation."""
    seen = []
    for loss in losses:
        watch.observe_validation(loss)
        seen.append(watch.verdict)
    return seen


def test_a_stage_ends_when_held_out_clips_are_no_better():
    # The best so far: 5, 5, 4, 4, 4. Two evaluations in a row after the third are not lower.
    losses = [5.0, 6.0, 4.0, 4.0, 4.5]
    assert validate(make_watch(patience=2), losses) == [None] * 4 + ["no better"]


def test_a_loss_that_is_no_number_is_never_the_best():
    watch = make_watch(patience=2)
    assert validate(watch, [math.nan, 5.0, 4.0, math.nan, 3.0]) == [None] * 5


def test_patience_is_resumed_from_json():
    first = make_watch(patience=2)
    assert validate(first, [4.0, 5.0]) == [None, None]
    resumed = make_watch(patience=2, state=json.loads(json.dumps(first.state())))
    assert validate(resumed, [4.0]) == ["no better"]


def test_a_watch_is_due_at_the_end_of_its_windows():
    watch, due = make_watch(window=3), []
    for _ in range(6):
        due.append(watch.due)
        watch.observe(1.0, 1.0)
    assert due == [False, False, True] * 2
    assert not make_watch(window=0).due
    assert make_watch(window=1).due


def test_stages_come_in_the_order_of_their_numbers():
    names = ["stage_10", "stage_2", "b", "stage_1", "a_2_10", "a_2_9", "stage"]
    assert in_order(names) == ["a_2_9", "a_2_10", "b", "stage", "stage_1", "stage_2", "stage_10"]
