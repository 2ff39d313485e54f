"""Stop a training run by a signal, which is noted and then obeyed at the end of a step."""

import signal
from types import FrameType

import jax
import numpy as np

from stiid import parallel
from stiid.training.signals import SIGNALS, WATCH


class Interrupted(RuntimeError):
    """A signal stopped the training, and everything is saved.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int, *, step: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}, which is saved: the same "
            "command resumes"
        )
        self.number = number


class StopRequest:
    """Context manager that notes a signal; a second signal acts at once."""

    def __init__(self) -> None:
        self._number = 0
        self._before: dict[int, object] = {}

    def agreed(self, *, ask: bool) -> int:
        """The signal that reached any of the processes, or 0.

        Args:
          ask: whether the processes ask each other at this step. They must stop at the same step.
        """
        if jax.process_count() == 1:
            return self._number
        if not ask:
            return 0
        return int(parallel.over_processes(np.array([self._number], np.int32)).max())

    def __enter__(self) -> "StopRequest":
        self._before = {
            number: signal.signal(number, self._note)
            for number in SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN
        }
        self._number = WATCH.number  # a signal that came before
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._number = self._number or number
        if WATCH.active:
            WATCH.note(number)
        else:  # without a watch: let the system handle a second signal
            self.__exit__()
