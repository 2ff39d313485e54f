"""Signals that end a process: the first one after cleaning up, a second one at once.

The first signal raises ``Terminated`` in the main thread, so that unfinished files are removed on
the way out; training notes it instead, and saves (``training.interrupt``). Python runs signal
handlers between its own instructions, and a compilation can delay them for minutes. Therefore a
thread, which reads signals when the system delivers them, ends the process at the second one.
"""

import _thread
import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any, NoReturn

# On request, SLURM sends SIGUSR1 before a job's time is over; a closed terminal sends SIGHUP.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)

_LOG = logging.getLogger("stiid")
# ``timeout`` and shells send one request twice: within these seconds it counts once.
_TWICE = {signal.SIGHUP: 2.0}
_TWICE_OTHERWISE = 0.1
_LOST = 0  # not a signal: the exception that the first signal raised was lost


class Terminated(KeyboardInterrupt):
    """A signal came: unfinished files are removed on the way out.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Watch:
    """The first signal, and the thread that waits for the second."""

    def __init__(self) -> None:
        self.number = 0  # of the first signal
        self.active = False
        self._starting = True
        self._deliver_again = False
        self._terminals: list[int] = []

    def start(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._terminals = [descriptor for descriptor in (1, 2) if _is_terminal(descriptor)]
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup, and background jobs
                signal.signal(number, self._handle)
        os.register_at_fork(after_in_child=self._forked)
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._dropped
        threading.Thread(target=self._listen, name="signals", daemon=True).start()
        self.active = True

    def begin(self) -> None:
        self._starting = False

    def note(self, number: int) -> None:
        """Remember the first signal. Once its terminal is closed, output to it is discarded."""
        self.number = self.number or number
        if number == signal.SIGHUP:
            with open(os.devnull, "w") as nowhere:
                for descriptor in self._terminals:
                    if not _is_terminal(descriptor):
                        os.dup2(nowhere.fileno(), descriptor)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._starting:
            _end(number, "nothing had begun")
        if self.number and not self._deliver_again:
            return  # the thread handles a second signal
        self._deliver_again = False
        self.note(number)
        raise Terminated(self.number)

    def _dropped(self, unraisable: Any) -> None:
        """Raise again later: Python drops exceptions in callbacks of the garbage collector."""
        if isinstance(unraisable.exc_value, Terminated):
            with contextlib.suppress(OSError):
                self._writer.send(bytes([_LOST]))
        elif str(unraisable.exc_value) != "Event loop is closed":  # arrays read after an error
            self._unraisable(unraisable)

    def _listen(self) -> None:
        first: tuple[float, int] | None = None
        own = told = 0
        while True:
            waiting = first is not None and not told
            if not select.select([self._reader], [], [], 2.0 if waiting else None)[0]:
                told = 1
                _LOG.info("stopping after the current operation; a second signal stops at once")
                continue
            for number in self._reader.recv(64):
                if number == _LOST:
                    time.sleep(0.02)  # let the callback end
                    own, self._deliver_again = own + 1, True
                    _thread.interrupt_main(signal.Signals(self.number))
                elif number not in SIGNALS:
                    continue
                elif own:
                    own -= 1
                elif first is None:
                    first = time.monotonic(), number
                elif time.monotonic() - first[0] > _TWICE.get(
                    signal.Signals(number), _TWICE_OTHERWISE
                ):
                    _end(number, "the second signal. What was saved before is intact")

    def _forked(self) -> None:
        """Detach a forked child, which must not write into its parent's socket."""
        if signal.set_wakeup_fd(-1) != -1:
            for number in SIGNALS:
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, signal.SIG_DFL)
        self.active = False


WATCH = _Watch()


def obey() -> None:
    """Take over the signals of this process; until ``begin`` is called, they end it at once."""
    if not WATCH.active and threading.current_thread() is threading.main_thread():
        WATCH.start()


def begin() -> None:
    """Make signals raise ``Terminated`` from now on, so that there is time to clean up."""
    obey()
    WATCH.begin()


def leave(code: int) -> NoReturn:
    """End the process without Python's shutdown, which waits for threads or crashes them."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _end(number: int, reason: str) -> NoReturn:
    start = "\n" if _is_terminal(2) else ""
    text = f"{start}error: stopped by {signal.Signals(number).name}: {reason}\n"
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
    os._exit(128 + number)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
