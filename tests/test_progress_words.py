"""Long operations are announced: a message while waiting, or a bar if steps can be counted."""

import io
import logging
import re
import threading

import pytest

from stiid import progress


@pytest.fixture
def quick(monkeypatch):
    """Nothing is waited for before it is said."""
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_INTERVAL", 0.01)


class Terminal(io.StringIO):
    def __init__(self):
        super().__init__()
        self.written = threading.Event()

    def isatty(self):
        return True

    def write(self, text):
        super().write(text)
        self.written.set()
        return len(text)


def use_terminal(monkeypatch):
    """Standard error as a terminal; not by a fixture, before whose test pytest sets its own."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    return terminal


def test_waiting_is_said_on_a_terminal_and_gone_at_the_end(quick, monkeypatch):
    terminal = use_terminal(monkeypatch)
    with progress.waiting("Compiling"):
        assert terminal.written.wait(10)
    assert "Compiling … 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith(progress._CLEAR)


def test_waiting_is_logged_elsewhere(quick, told, monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    said = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: "so far" in record.getMessage() and said.set()
    logging.getLogger("stiid").addHandler(handler)
    try:
        with progress.waiting("Compiling"):
            assert said.wait(10)
    finally:
        logging.getLogger("stiid").removeHandler(handler)
    assert told.messages[0] == "Compiling …"
    assert told.messages[1] == "Compiling: 0 s so far"


@pytest.mark.parametrize("level", [logging.NOTSET, logging.WARNING])
def test_without_a_log_it_is_written_unless_the_log_is_silenced(quick, monkeypatch, level):
    stream = Terminal()
    monkeypatch.setattr(stream, "isatty", lambda: False)
    monkeypatch.setattr("sys.stderr", stream)
    log = logging.getLogger("stiid")
    before = log.level
    log.setLevel(level)
    try:
        with progress.waiting("Compiling"):
            stream.written.wait(10 if level == logging.NOTSET else 0.2)
    finally:
        log.setLevel(before)
    said = stream.getvalue().partition("\n")[0]
    assert said == ("Compiling …" if level == logging.NOTSET else "")


def test_what_ends_soon_is_not_mentioned(told, monkeypatch):
    terminal = use_terminal(monkeypatch)
    with progress.waiting("Compiling"):
        pass
    assert terminal.getvalue() == ""
    assert told.messages == []


def test_an_error_ends_the_waiting(quick, monkeypatch):
    use_terminal(monkeypatch)
    with pytest.raises(ValueError, match="wrong"), progress.waiting("Compiling"):
        raise ValueError("wrong")
    assert not [t for t in threading.enumerate() if t.name == "waiting"]


def test_what_is_counted_is_passed_on(quick, monkeypatch):
    terminal = use_terminal(monkeypatch)
    items = progress.counted(iter("abc"), "Reading", total=3, unit="letters")
    assert next(items) == "a"
    assert terminal.written.wait(10)
    assert list(items) == ["b", "c"]
    assert "Reading: 0 of 3 letters (the first take longest) … 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith(progress._CLEAR)
    assert list(progress.counted([], "Reading", total=0, unit="letters")) == []


def test_counting_goes_on_while_an_item_takes_long(quick, told, monkeypatch):
    """Between two batches of an evaluation lie minutes: the log tells of the clips meanwhile."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    said = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: "8 of 20" in record.getMessage() and said.set()
    logging.getLogger("stiid").addHandler(handler)
    try:
        batches = progress.counted("abc", "Evaluating", total=20, unit="clips", each=8)
        for batch in batches:
            assert batch == "a" or said.wait(10)
    finally:
        logging.getLogger("stiid").removeHandler(handler)
    assert any(text.startswith("Evaluating: 8 of 20 clips, ") for text in told.messages)


@pytest.fixture
def now(monkeypatch):
    """The time in seconds, in a list of one, for tests to change."""
    found = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: found[0])
    return found


def test_the_first_does_not_count_for_the_time_that_is_left(now):
    """It takes 100 s, as compiling does, and each of the others 10 s."""
    count, lines = progress._Count("Evaluating", 28, "clips"), []
    assert count.begun() == "Evaluating: 0 of 28 clips (the first take longest) …"
    now[0] = 60.0
    assert count.line() == "Evaluating: 0 of 28 clips, 60 s so far"
    for ended in (100.0, 110.0, 120.0, 130.0):
        now[0] = ended
        count.add(8)
        lines.append(count.line().removeprefix("Evaluating: "))
    assert lines == [
        "8 of 28 clips, at most 4:10 left",  # 20 clips as slow as the first 8
        "16 of 28 clips, 0:15 left",
        "24 of 28 clips, 0:05 left",
        "28 of 28 clips, 0:00 left",  # the last batch is not full
    ]


def test_the_time_left_runs_down_during_an_item(now):
    count = progress._Count("Evaluating", 30, "clips")
    for now[0] in (100.0, 160.0):
        count.add(10)
    now[0] = 200.0
    assert count.line() == "Evaluating: 20 of 30 clips, 0:20 left"
    now[0] = 300.0
    assert count.line() == "Evaluating: 20 of 30 clips, 0:00 left"


def test_a_terminal_shows_a_bar_that_fits(now, quick, monkeypatch):
    count = progress._Count("Evaluating", 128, "clips of 40 frames")
    first = "Evaluating: 0 of 128 clips of 40 frames (the first take longest) … 0 s"
    assert count.shown() == first
    count.add(64)
    shown = count.shown()
    assert re.fullmatch(
        r"Evaluating:  50%\|█+ +\| 64 of 128 clips of 40 frames, at most 0:00 left", shown
    )
    assert len(shown) < 80
    monkeypatch.setenv("COLUMNS", "30")
    terminal = use_terminal(monkeypatch)
    done = threading.Event()
    thread = threading.Thread(target=progress._tell, args=(count, done))
    thread.start()
    assert terminal.written.wait(10)
    done.set()
    thread.join()
    assert terminal.getvalue().split(progress._CLEAR)[1] == shown[:29]


def test_items_of_an_unknown_number_are_counted(now):
    count = progress._Count("Decomposing", None, "frames")
    count.add(1)
    now[0] = 3.0
    assert count.line() == "Decomposing: 1 frames, 3 s so far"
    assert count.shown() == "Decomposing: 1 frames … 3 s"


def test_log_lines_take_the_place_of_the_line_on_a_terminal(monkeypatch):
    use_terminal(monkeypatch)
    record = logging.LogRecord("stiid", logging.INFO, "", 0, "hello", (), None)
    assert progress.Formatter().format(record).startswith(progress._CLEAR)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert re.fullmatch(r"\d\d:\d\d:\d\d hello", progress.Formatter().format(record))
