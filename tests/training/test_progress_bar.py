"""The progress bar of a run, its lines elsewhere, and the time left, by a clock set by hand."""

import io
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from stiid.training.progress_bar import Progress, Span


class Clock(SimpleNamespace):
    """A clock that only runs when a test says so."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr("stiid.training.progress_bar.time", found)
    return found


@pytest.fixture
def lines(monkeypatch, caplog):
    """The log lines, where standard error is no terminal."""
    caplog.set_level(logging.INFO, logger="stiid")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    return caplog


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(*stages, eval_every=10**6, **changes):
    """Of stages, each a last step or a pair with the work of an update."""
    spans = [stage if isinstance(stage, tuple) else (stage, 1.0) for stage in stages]
    return Progress([Span(*span) for span in spans], eval_every=eval_every, **changes)


def etas(lines):
    return [text.split(", ")[2] for text in lines.messages]


def test_progress_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(10, initial=4) as bar:
        for step in range(5, 11):
            bar.update(step, {"loss": 1 / 3, "kl": np.float32(2)} if step == 5 else None)
    last = terminal.getvalue().split("\r")[-1]
    assert "10/10" in last
    assert "100%" in last
    assert "loss=0.3333, kl=2" in last
    assert "4/10" in terminal.getvalue().split("\r")[1]  # a resumed bar begins where the run does


def test_a_progress_bar_learns_that_less_is_to_be_done(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(10) as bar:
        bar.update(1)
        bar.expect([Span(2, 1.0)])
        bar.update(2)
    assert "2/2" in terminal.getvalue().split("\r")[-1]


def test_progress_lines_elsewhere(lines, clock):
    with progress(1000, initial=100, interval=30.0, eval_every=1000) as bar:
        for now, step in ((10, 120), (30, 160), (40, 200), (90, 310), (91, 1000)):
            clock.now = now
            bar.update(step, {"loss": step / 1000})
    assert lines.messages == [
        # 60 steps in 30 s; 840 left
        "step 160/1000, 2.00 steps/s, ETA 07:00 + 1 evaluation, loss=0.16",
        # 110 in the 50 s from step 200 on; 690 left = 313 s
        "step 310/1000, 2.20 steps/s, ETA 05:13 + 1 evaluation, loss=0.31",
        "step 1000/1000, 15.69 steps/s, ETA 00:00 + 1 evaluation, loss=1",
    ]


def test_the_time_left_is_of_what_is_still_to_be_done(lines, clock):
    with progress(1000, interval=30.0) as bar:
        clock.now = 40.0
        bar.update(40)
        bar.expect([Span(200, 1.0)])  # a stage ended early
        clock.now = 80.0
        bar.update(80)
    assert etas(lines) == ["ETA 16:00 + 1 evaluation", "ETA 02:00 + 1 evaluation"]


def test_disabled_progress_is_silent(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="stiid")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(1, interval=0.0, enabled=False) as bar:
        bar.update(1, {"loss": 1.0})
    assert caplog.messages == []
    assert terminal.getvalue() == ""


def test_compilation_does_not_count_for_the_time_left(lines, clock):
    with progress(101, interval=30.0) as bar:
        clock.now = 100.0
        bar.restart(1)  # the first step took 100 s
        clock.now = 140.0
        bar.update(21)  # 20 more took 40 s: 80 are left
    assert lines.messages == ["step 21/101, 0.50 steps/s, ETA 02:40 + 1 evaluation, "]


def test_a_bar_shows_the_same_time_left(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(101) as bar:
        clock.now = 100.0
        bar.restart(1)
        clock.now = 140.0
        bar.update(21)
        bar._bar.refresh()
        assert ", 0.50 steps/s, ETA 02:40 + 1 evaluation" in terminal.getvalue()


def test_no_stage_carries_its_speed_into_the_next_one(lines, clock):
    """100 single frames of 1 s, then 100 clips of 4 s, as their work says, and a little longer."""
    with progress((100, 1.0), (200, 4.0), interval=30.0, eval_every=50) as bar:
        clock.now = 50.0
        bar.update(50)
        assert etas(lines)[-1] == "ETA 07:30 + 4 evaluations"  # 50 + 400 s
        with bar.evaluating():
            clock.now += 10.0
        clock.now += 50.0
        bar.update(100)
        assert etas(lines)[-1] == "ETA 07:10"  # 400 s, and 3 evaluations of 10 s
        with bar.evaluating():
            clock.now += 20.0  # the latest evaluation counts
        clock.now += 35.0  # compilation
        bar.restart(101)
        clock.now += 45.0
        bar.update(110)  # 9 updates of 5 s: single frames no longer count
        assert etas(lines)[-1] == "ETA 08:10"  # 90 × 5 s + 2 × 20 s
    assert [text.split(", ")[1] for text in lines.messages] == [
        "1.00 steps/s",
        "1.00 steps/s",
        "0.20 steps/s",
    ]


def test_the_speed_is_that_of_the_latest_updates(lines, clock):
    """A machine that gets busy: after half a minute, the earlier speed is forgotten."""
    with progress(1000, interval=30.0) as bar:
        for step in range(1, 101):
            clock.now += 1.0 if step <= 60 else 10.0
            bar.update(step)
    assert [text.split(", ")[1] for text in lines.messages[-2:]] == ["0.10 steps/s"] * 2


@pytest.mark.parametrize(
    ("every", "step", "evaluations"),
    [
        (4, 1, 4),  # at 4, 6 (the end of a stage), 8, 9
        (4, 4, 4),  # it comes after the update
        (4, 5, 3),
        (3, 1, 3),  # 3, 6, 9: each end of a stage is one of them
        (100, 1, 2),
        (100, 9, 1),
    ],
)
def test_evaluations_still_to_come_are_counted(lines, clock, every, step, evaluations):
    with progress(6, 9, interval=0.0, eval_every=every) as bar:
        clock.now = 1.0
        bar.update(step)
    plural = "" if evaluations == 1 else "s"
    assert etas(lines)[0].endswith(f" + {evaluations} evaluation{plural}")
