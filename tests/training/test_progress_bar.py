"""The progress bar of a run, and its lines elsewhere."""

import io
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from stiid.training.progress_bar import Progress


@pytest.fixture
def ticks(monkeypatch):
    """What the clock of the progress says, one time after the other."""

    def patch(*times):
        clock = SimpleNamespace(monotonic=iter(times).__next__)
        monkeypatch.setattr("stiid.training.progress_bar.time", clock)

    return patch


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(10, initial=4) as progress:
        for step in range(5, 11):
            progress.update(step, {"loss": 1 / 3, "kl": np.float32(2)} if step == 5 else None)
    last = terminal.getvalue().split("\r")[-1]
    assert "10/10" in last
    assert "100%" in last
    assert "loss=0.3333, kl=2" in last
    assert "4/10" in terminal.getvalue().split("\r")[1]  # a resumed bar begins where the run does


def test_a_progress_bar_learns_that_less_is_to_be_done(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(10) as progress:
        progress.update(1)
        progress.expect(2)
        progress.update(2)
    assert "2/2" in terminal.getvalue().split("\r")[-1]


def test_progress_lines_elsewhere(monkeypatch, caplog, ticks):
    caplog.set_level(logging.INFO, logger="stiid")
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    ticks(0.0, 10.0, 30.0, 40.0, 90.0, 91.0)
    with Progress(1000, initial=100, interval=30.0) as progress:
        for step in (120, 160, 200, 310, 1000):
            progress.update(step, {"loss": step / 1000})
    assert caplog.messages == [
        "step 160/1000, 2.00 steps/s, ETA 07:00, loss=0.16",  # 60 steps in 30 s; 840 left
        "step 310/1000, 2.50 steps/s, ETA 04:36, loss=0.31",  # 150 in 60 s; 690 left = 276 s
        "step 1000/1000, 690.00 steps/s, ETA 00:00, loss=1",
    ]
    assert file.getvalue() == ""


def test_the_time_left_is_of_what_is_still_to_be_done(monkeypatch, caplog, ticks):
    caplog.set_level(logging.INFO, logger="stiid")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    ticks(0.0, 40.0, 80.0)
    with Progress(1000, interval=30.0) as progress:
        progress.update(40)
        progress.expect(200)  # a stage ended early
        progress.update(80)
    assert [text.split(", ")[2] for text in caplog.messages] == ["ETA 16:00", "ETA 02:00"]


def test_disabled_progress_is_silent(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="stiid")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(1, interval=0.0, enabled=False) as progress:
        progress.update(1, {"loss": 1.0})
    assert caplog.messages == []
    assert terminal.getvalue() == ""


def test_compilation_does_not_count_for_the_time_left(monkeypatch, caplog, ticks):
    caplog.set_level(logging.INFO, logger="stiid")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    ticks(0.0, 100.0, 140.0)
    with Progress(101, interval=30.0) as progress:
        progress.restart(1)  # the first step took 100 s
        progress.update(21)  # 20 more took 40 s: 80 are left
    assert caplog.messages == ["step 21/101, 0.50 steps/s, ETA 02:40, "]


def test_compilation_does_not_count_in_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(100) as progress:
        progress._bar.start_t -= 1000.0
        progress._bar.last_print_t -= 1000.0
        progress.restart(1)
        assert progress._bar.format_dict["elapsed"] < 100.0
        assert progress._bar.n == 1
