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


def test_what_is_counted_is_passed_on(monkeypatch):
    terminal = use_terminal(monkeypatch)
    items = progress.counted(iter("abc"), "Reading", total=3, unit="letters")
    assert list(items) == ["a", "b", "c"]
    assert re.search(r"Reading:.* 1/3", terminal.getvalue())
    assert list(progress.counted([], "Reading", total=0, unit="letters")) == []


def test_the_first_does_not_count_for_the_time_that_is_left(quick, told, monkeypatch):
    """It takes 100 s, as compiling does, and each of the others 10 s."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr(progress, "_PATIENCE", 10.0)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for number in progress.counted(range(4), "Reading", total=4, unit="files"):
        now[0] += 10.0 if number else 100.0
    assert told.messages == [
        "Reading: 2 of 4 files, 20 s left",
        "Reading: 3 of 4 files, 10 s left",
        "Reading: 4 of 4 files, 0 s left",
    ]


def test_log_lines_take_the_place_of_the_line_on_a_terminal(monkeypatch):
    use_terminal(monkeypatch)
    record = logging.LogRecord("stiid", logging.INFO, "", 0, "hello", (), None)
    assert progress.Formatter().format(record).startswith(progress._CLEAR)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert re.fullmatch(r"\d\d:\d\d:\d\d hello", progress.Formatter().format(record))
