"""Progress of a training run: a bar on a terminal, log lines elsewhere."""

import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tqdm import tqdm

from stiid.progress import on_terminal

_LOG = logging.getLogger("stiid")


class Span(NamedTuple):
    """A stage of a run, for the estimate of the time left."""

    last: int  # step with which it ends, unless it ends early
    work: float  # of one update; only ratios between stages matter


class Progress:
    """Progress over the steps of a run: a bar on a terminal, otherwise a log line at intervals.

    The time left is that of all updates and evaluations still to come. Updates take as long as the
    latest ones of the current stage did; those of later stages, longer in proportion to their work.
    Evaluations take as long as the latest one; before the first, their number is shown instead.

    Args:
      stages: in their order.
      eval_every: steps between evaluations; a stage ends with one, too.
      initial: the step that a resumed run starts from.
      interval: seconds between log lines, if standard error is not a terminal, and the time over
        which the speed is measured.
      enabled: true on one process only.
    """

    def __init__(
        self,
        stages: Sequence[Span],
        *,
        eval_every: int,
        initial: int = 0,
        interval: float = 30.0,
        enabled: bool = True,
    ):
        self._stages, self._eval_every = stages, eval_every
        self._interval, self._enabled = interval, enabled
        self._logged = time.monotonic()  # the last log line
        self._marks = deque([(self._logged, initial)])  # times and steps of the latest updates
        self._evaluation: float | None = None  # seconds that the last one took
        self._scalars = ""
        self._bar = None
        if enabled and on_terminal():
            self._bar = tqdm(
                total=self._total,
                initial=initial,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def expect(self, stages: Sequence[Span]) -> None:
        """Replace the stages, after one of them ended early."""
        self._stages = stages
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()

    def restart(self, step: int) -> None:
        """Measure the speed from this step on: a stage has begun, and is compiled."""
        self._marks = deque([(time.monotonic(), step)])

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave the time of the block, an evaluation, out of the speed of updates."""
        started = time.monotonic()
        yield
        self._evaluation = time.monotonic() - started
        self._marks = deque((at + self._evaluation, step) for at, step in self._marks)

    def update(self, step: int, scalars: Mapping[str, float] | None = None) -> None:
        """Report that `step` steps are done; show `scalars` (loss, ...) until the next ones."""
        if not self._enabled:
            return
        if scalars is not None:
            self._scalars = ", ".join(f"{name}={float(v):.4g}" for name, v in scalars.items())
        now = time.monotonic()
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._interval:
            self._marks.popleft()
        since, first = self._marks[0]
        rate = (step - first) / max(now - since, 1e-9)
        state = f"{rate:.2f} steps/s, ETA {self._left(step, rate)}, {self._scalars}"
        if self._bar is not None:
            self._bar.set_postfix_str(state, refresh=False)
            self._bar.update(step - self._bar.n)
        elif step >= self._total or now - self._logged >= self._interval:
            self._logged = now
            _LOG.info("step %d/%d, %s", step, self._total, state)

    @property
    def _total(self) -> int:
        return self._stages[-1].last

    def _left(self, step: int, rate: float) -> str:
        """Time left after a step whose evaluation, if it has one, is still to come."""
        if not rate:
            return "?"
        current = next(stage for stage in self._stages if stage.last >= step)
        work, done = 0.0, step
        for stage in self._stages:
            work += max(0, stage.last - done) * stage.work
            done = max(done, stage.last)
        every, ends = self._eval_every, {stage.last for stage in self._stages}
        evaluations = self._total // every - (step - 1) // every
        evaluations += sum(end >= step and end % every > 0 for end in ends)
        seconds = work / current.work / rate + evaluations * (self._evaluation or 0.0)
        left: str = tqdm.format_interval(seconds)
        if evaluations and self._evaluation is None:
            return f"{left} + {evaluations} evaluation{'s' * (evaluations > 1)}"
        return left

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
