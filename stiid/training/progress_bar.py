"""Progress of a training run: a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from stiid.progress import on_terminal

_LOG = logging.getLogger("stiid")


class Progress:
    """Progress over the steps of a run: a bar on a terminal, otherwise a log line at intervals.

    Args:
      total: the last step.
      initial: the step that a resumed run starts from.
      interval: seconds between log lines, if standard error is not a terminal.
      enabled: true on one process only.
    """

    def __init__(
        self, total: int, *, initial: int = 0, interval: float = 30.0, enabled: bool = True
    ):
        self._total, self._interval, self._enabled = total, interval, enabled
        self._logged = (time.monotonic(), initial)  # of the last log line
        self._scalars = ""
        self._bar = None
        if enabled and on_terminal():
            self._bar = tqdm(
                total=total, initial=initial, unit="step", dynamic_ncols=True, file=sys.stderr
            )

    def expect(self, total: int) -> None:
        """Set a new last step."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total
            self._bar.refresh()

    def restart(self, step: int) -> None:
        """Leave the time so far, spent on compilation, out of the estimate of the time left."""
        self._logged = (time.monotonic(), step)
        if self._bar is not None:
            self._bar.unpause()
            if self._bar.n == self._bar.initial:  # nothing has been timed yet
                self._bar.initial = step
            self._bar.n = self._bar.last_print_n = step
            self._bar.refresh()

    def update(self, step: int, scalars: Mapping[str, float] | None = None) -> None:
        """Report that `step` steps are done; show `scalars` (loss, ...) until the next ones."""
        if not self._enabled:
            return
        if scalars is not None:
            self._scalars = ", ".join(f"{name}={float(v):.4g}" for name, v in scalars.items())
        now = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(self._scalars, refresh=False)
            self._bar.update(step - self._bar.n)
        elif step >= self._total or now - self._logged[0] >= self._interval:
            rate = (step - self._logged[1]) / max(now - self._logged[0], 1e-9)
            self._logged = (now, step)
            left = tqdm.format_interval((self._total - step) / rate) if rate > 0 else "?"
            _LOG.info(
                "step %d/%d, %.2f steps/s, ETA %s, %s", step, self._total, rate, left, self._scalars
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
