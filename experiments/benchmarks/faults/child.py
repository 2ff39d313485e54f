"""Processes that run commands of the package.

They are forked from this one, which has imported everything and started nothing, so that they begin
at once. A fresh process, which imports for seconds, is as a user starts it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.benchmarks.faults.fault import LIMIT, Fault
from stiid.cli.main import cli
from stiid.training import signals

_LOOK = 0.02  # seconds between two looks


class Child:
    """A command in a process of its own.

    Args:
      arguments: of ``python -m stiid.main``.
      log: file of its standard output and error, begun anew.
      fresh: start Python anew.
      prepare: called in the process before the command; not if it is fresh.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        fresh: bool = False,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._log, self._code = log, None
        log.write_bytes(b"")
        if fresh:
            with log.open("ab") as out:
                command = [sys.executable, "-m", "stiid.main", *arguments]
                self._process = subprocess.Popen(command, stdout=out, stderr=out)
            self.pid = self._process.pid
            return
        self.pid = os.fork()
        if not self.pid:
            _run(arguments, log, prepare)

    @property
    def text(self) -> str:
        """What it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait_until(self, done: Callable[[], bool], *, seconds: float = 10 * LIMIT) -> bool:
        """Wait; false if the process ends first.

        Time in which the process waits for other programs to leave it a processor is no hang.

        Raises:
          Fault: neither comes in time; the process is killed.
        """
        deadline = time.monotonic() + seconds - self._starved()
        while not done():
            if self.poll() is not None:
                return False
            if time.monotonic() > deadline and time.monotonic() > deadline + self._starved():
                self.send(signal.SIGKILL)
                raise Fault(f"nothing for {seconds:.0f} s; before: {self.text[-500:]!r}")
            time.sleep(_LOOK)
        return True

    def wait(self, *, seconds: float = 10 * LIMIT) -> int:
        """Its exit code, once it has ended; raises as ``wait_until``."""
        self.wait_until(lambda: self.poll() is not None, seconds=seconds)
        assert self._code is not None
        return self._code

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)
        if number == signal.SIGKILL:
            while self.poll() is None:
                time.sleep(_LOOK)

    def _starved(self) -> float:
        """Seconds for which the thread that waited longest was ready and had no processor."""
        waits = [0.0]
        for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, IndexError):  # the thread ended
                waits.append(int(path.read_text(encoding="ascii").split()[1]) / 1e9)
        return max(waits)

    def listens(self) -> bool:
        """Whether it has taken over its signals, which Python's own start leaves alone."""
        try:
            with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
                caught = next(line for line in file if line.startswith("SigCgt"))
        except (OSError, StopIteration):
            return True
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def _run(arguments: Sequence[str], log: Path, prepare: Callable[[], None] | None) -> None:
    code: object = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        signals.obey()
        if prepare is not None:
            prepare()
        sys.argv = ["stiid", *arguments]  # where absl looks for fields of the config
        cli(sys.argv)
        code = 0
    except SystemExit as leaving:
        code = leaving.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    signals.leave(code if isinstance(code, int) else bool(code))
