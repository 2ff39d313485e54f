"""Run measurements in separate processes: those of a wave compile together and run alone.

Compiling an update takes a minute on a few cores, and running it a few seconds on the device. A
cell is a command that compiles, prints ``READY``, waits for a line of input, and answers with one
line of JSON. If it crashes, hangs or runs out of memory, its row says so.
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.gpu import watchdog

READY = "ready"


def serve(compile_it: Callable[[], Callable[[], dict[str, Any]]]) -> None:
    """Serve as a cell: compile, wait for the turn, measure, answer.

    Args:
      compile_it: returns the function that measures. Its output goes to standard error.
    """
    answer, sys.stdout = sys.stdout, sys.stderr
    measure = compile_it()
    print(READY, file=answer, flush=True)
    sys.stdin.readline()
    print(json.dumps(measure()), file=answer, flush=True)


def run_cells(
    commands: Mapping[str, Sequence[str]],
    *,
    at_once: int,
    seconds: float,
    patience: float,
    logs: Path,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run all cells, wave by wave, as long as there is time.

    Args:
      commands: name of a cell → its command, the most important first.
      at_once: cells in a wave.
      seconds: for all of them; a wave is not begun when less is left than the longest one took.
      patience: seconds that a cell has to compile, and again to answer.
      logs: folder of their standard errors.

    Yields:
      A name, and the answer, or {"status": why there is none}.
    """
    deadline, names, longest = time.monotonic() + seconds, list(commands), 0.0
    logs.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(names), at_once):
        begin = time.monotonic()
        if begin + longest > deadline:
            yield from ((name, {"status": "not run: no time"}) for name in names[first:])
            return
        wave = names[first : first + at_once]
        cells = {name: Cell(commands[name], logs / f"{name}.log") for name in wave}
        try:
            limit = min(begin + patience, deadline)
            ready = {name: cell.line(limit) == READY for name, cell in cells.items()}
            for name, cell in cells.items():  # a running compilation would disturb
                if not ready[name]:
                    yield name, cell.failure()
            for name, cell in cells.items():
                if ready[name]:
                    yield name, cell.result(min(time.monotonic() + patience, deadline))
        finally:
            for cell in cells.values():
                cell.end()
        longest = max(longest, time.monotonic() - begin)


class Cell:
    """The process of a cell."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line.strip())
        self._lines.put(None)

    def line(self, limit: float) -> str | None:
        """The next line of its output; None if it has ended, or the time is over."""
        try:
            return self._lines.get(timeout=max(limit - time.monotonic(), 0.0))
        except queue.Empty:
            return None

    def result(self, limit: float) -> dict[str, Any]:
        """Let it measure, wait for its answer, and end it, so that the device is free."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self.failure()
        answer = self.line(limit)
        if not answer:
            return self.failure()
        self.end()
        result: dict[str, Any] = json.loads(answer)
        return result

    def failure(self) -> dict[str, Any]:
        """End it, and say why there is no answer."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.end()
            return {"status": watchdog.LATE}
        reason = watchdog.last_line(self._log)[:300]
        return {"status": f"{watchdog.status_of(code)}: {reason}"}

    def end(self) -> None:
        """End it."""
        watchdog.end(self._process, grace=0.0)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
