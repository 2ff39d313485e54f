"""Messages and progress bars for long operations."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

_LOG = logging.getLogger("stiid")
_PATIENCE = 1.0  # seconds before a message appears
_INTERVAL = 30.0  # seconds between log lines, where standard error is no terminal
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
    done = threading.Event()
    thread = threading.Thread(target=_tell, args=(what, done), name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def counted(items: Iterable[_Item], what: str, *, total: int | None, unit: str) -> Iterator[_Item]:
    """Yield items, and show how many of them are done.

    Programs are compiled with the first item, so the time left is estimated from the others.

    Args:
      items: to yield; they may be computed lazily.
      what: the operation, such as "Evaluating".
      total: number of items; None if unknown.
      unit: name of the items, in the plural.
    """
    rest, of_total = iter(items), "" if total is None else f" of {total}"
    with waiting(f"{what}: the first{of_total} {unit}"):
        for item in rest:
            yield item
            break
        else:
            return
    done, told, started = 1, time.monotonic(), time.monotonic()
    bar = _bar(what, total, unit) if total != 1 and on_terminal() else None
    try:
        for item in rest:
            yield item
            done, now = done + 1, time.monotonic()
            if bar is not None:
                bar.update()
            elif now - told >= _INTERVAL:
                told = now
                left = "" if total is None else _left(total - done, done - 1, now - started)
                _say(f"{what}: {done}{of_total} {unit}{left}")
    finally:
        if bar is not None:
            bar.close()


def _left(to_do: int, done: int, seconds: float) -> str:
    return f", {max(to_do, 0) * seconds / done:.0f} s left"


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


def _bar(what: str, total: int | None, unit: str) -> Any:
    from tqdm import tqdm  # takes a while to import

    return tqdm(
        desc=what, total=total, initial=1, unit=unit, leave=False, dynamic_ncols=True, miniters=1
    )


def _tell(what: str, done: threading.Event) -> None:
    """Show the message after the first second, until the operation ends."""
    started = time.monotonic()
    if done.wait(_PATIENCE):
        return
    if not on_terminal():
        _say(f"{what} …")
        while not done.wait(_INTERVAL):
            _say(f"{what}: {time.monotonic() - started:.0f} s so far")
        return
    while True:
        sys.stderr.write(f"{_CLEAR}{what} … {time.monotonic() - started:.0f} s")
        sys.stderr.flush()
        if done.wait(1.0):
            break
    sys.stderr.write(_CLEAR)
    sys.stderr.flush()
