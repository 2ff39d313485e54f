"""Messages and progress bars for long operations."""

import contextlib
import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_LOG = logging.getLogger("stiid")
_PATIENCE = 1.0  # seconds before a message appears
_INTERVAL = 30.0  # seconds between log lines, where standard error is no terminal
_REFRESH = 0.5  # seconds between updates of a line on a terminal
_CLEAR = "\r\x1b[K"  # the line of a terminal

_Item = TypeVar("_Item")


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a message while the block runs, such as a compilation, whose steps cannot be counted.

    On a terminal, a line counts the seconds and is removed at the end; elsewhere, the log (standard
    error where none is set up, as in notebooks) has a line at the beginning and at intervals.
    Blocks that end within a second are not mentioned.

    Args:
      what: the operation, such as "Compiling stage_0".
    """
    with _telling(_Count(what)):
        yield


def counted(
    items: Iterable[_Item], what: str, *, total: int | None, unit: str, each: int = 1
) -> Iterator[_Item]:
    """Yield items, and show how many of them are done and how long the others take.

    The numbers are shown as ``waiting`` shows its message, on a terminal beside a bar.

    Args:
      items: to yield; they may be computed lazily.
      what: the operation, such as "Evaluating".
      total: number of units; None if unknown.
      unit: name of the units, in the plural.
      each: number of units in an item, such as clips in a batch; the last item may have fewer.
    """
    count = _Count(what, total, unit)
    with _telling(count):
        for item in items:
            yield item
            count.add(each)


class _Count:
    """Units that are done, in words.

    Args:
      what: the operation.
      total: number of units; None if unknown.
      unit: their name; "" if nothing is counted.
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "") -> None:
        self._what, self._total, self._unit = what, total, unit
        self._started = time.monotonic()
        self._first: tuple[float, int] | None = None  # end of the first item, and units in it
        self._last, self._done = self._started, 0

    def add(self, units: int) -> None:
        """Count an item."""
        self._last, self._done = time.monotonic(), self._done + units
        self._first = self._first or (self._last, units)

    def begun(self) -> str:
        """The first words about the operation."""
        slow = " (the first take longest)" if self._unit and not self._done else ""
        return f"{self._what}{self._numbers()}{slow} …"

    def line(self) -> str:
        """What is done, and how long the rest takes."""
        numbers, left = self._numbers(), self._left()
        if left is not None:
            return f"{self._what}{numbers}, {left} left"
        seconds = f"{time.monotonic() - self._started:.0f} s so far"
        return f"{self._what}{numbers}, {seconds}" if numbers else f"{self._what}: {seconds}"

    def shown(self) -> str:
        """The same for a terminal, with a bar where the total is known."""
        if self._left() is None or not self._total:
            return f"{self.begun()} {time.monotonic() - self._started:.0f} s"
        from tqdm import tqdm  # takes a while to import

        form = f"{self._what}: {{percentage:3.0f}}%|{{bar:10}}|{self._numbers()[1:]}"
        bar = tqdm.format_meter(min(self._done, self._total), self._total, 0.0, bar_format=form)
        return f"{bar}, {self._left()} left"

    def _numbers(self) -> str:
        if not self._unit:
            return ""
        if self._total is None:
            return f": {self._done} {self._unit}"
        return f": {min(self._done, self._total)} of {self._total} {self._unit}"

    def _left(self) -> str | None:
        """Time left, from the items after the first, with which programs are compiled."""
        if self._first is None or self._total is None:
            return None
        ended, units = self._first
        least = self._done == units
        spent = ended - self._started if least else self._last - ended
        pace = spent / (self._done if least else self._done - units)
        seconds = pace * max(0, self._total - self._done) - (time.monotonic() - self._last)
        minutes, rest = divmod(round(max(0.0, seconds)), 60)
        return f"{'at most ' if least else ''}{minutes}:{rest:02d}"


@contextlib.contextmanager
def _telling(count: _Count) -> Iterator[None]:
    """Tell of an operation, in a thread, while the block runs."""
    done = threading.Event()
    thread = threading.Thread(target=_tell, args=(count, done), name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _say(text: str) -> None:
    """Log a line; where nobody set up a log, as in notebooks, write it to standard error."""
    if _LOG.level or _LOG.isEnabledFor(logging.INFO):
        _LOG.info("%s", text)
    elif sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


class Formatter(logging.Formatter):
    """Format log lines with their time; on a terminal, they replace a line that counts seconds."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return (_CLEAR if on_terminal() else "") + super().format(record)


def _tell(count: _Count, done: threading.Event) -> None:
    """Show the words after the first second, until the operation ends."""
    if done.wait(_PATIENCE):
        return
    if not on_terminal():
        _say(count.begun())
        while not done.wait(_INTERVAL):
            _say(count.line())
        return
    while True:
        columns = shutil.get_terminal_size().columns  # a longer line could not be removed
        sys.stderr.write(f"{_CLEAR}{count.shown()[: columns - 1]}")
        sys.stderr.flush()
        if done.wait(_REFRESH):
            break
    sys.stderr.write(_CLEAR)
    sys.stderr.flush()
