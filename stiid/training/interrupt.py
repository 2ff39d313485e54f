"""Stopping a run from outside.

While training, a signal is noted, and obeyed at the end of a step; elsewhere it is an exception.
"""

import signal
from types import FrameType
from typing import NoReturn

import jax
import numpy as np

from stiid import parallel

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(RuntimeError):
    """A signal came; everything is saved.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int, *, step: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}, which is saved: the same "
            "command resumes"
        )
        self.number = number


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it is like Ctrl-C: whatever is unfinished is removed on the way out."""


def leave_on_sigterm() -> None:
    """Let SIGTERM raise ``Terminated``; a second one acts at once."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, leave)


class StopRequest:
    """Notes SIGTERM and SIGINT while it is entered; a second signal acts at once."""

    def __init__(self) -> None:
        self._number = 0
        self._before: dict[int, object] = {}

    def agreed(self, *, ask: bool) -> int:
        """The signal that came to any process, or 0.

        Args:
          ask: whether this is a step at which several processes, which must stop at the same step,
            ask each other.
        """
        if jax.process_count() == 1:
            return self._number
        if not ask:
            return 0
        return int(parallel.over_processes(np.array([self._number], np.int32)).max())

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._number = number
        self.__exit__()
