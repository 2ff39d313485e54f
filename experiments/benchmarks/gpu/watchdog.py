"""Run commands with a deadline; one that hangs or crashes does not affect the others."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DONE, LATE = "done", "out of time"
GRACE = 10.0  # seconds between SIGTERM, at which a training saves, and SIGKILL


class Outcome(NamedTuple):
    """How a command ended."""

    status: str  # DONE, LATE, "failed (1)" or "killed by SIGSEGV"
    seconds: float
    last_line: str  # of its output, if it failed


def watch(
    command: Sequence[str],
    *,
    seconds: float,
    log: Path,
    env: Mapping[str, str] | None = None,
    grace: float = GRACE,
) -> Outcome:
    """Run a command; end it and all its children when its time is over.

    Args:
      command: the program and its arguments.
      seconds: until SIGTERM.
      log: file that gets its output, unbuffered: an error comes last.
      env: its environment; None: that of this process.
      grace: seconds from SIGTERM to SIGKILL.
    """
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**(os.environ if env is None else env), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        late = False
        try:
            process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            late = True
        finally:
            end(process, grace=grace)
    status = LATE if late else status_of(process.returncode)
    return Outcome(status, time.monotonic() - begin, "" if status == DONE else last_line(log))


def end(process: subprocess.Popen, *, grace: float) -> None:
    """End a process that leads a session, and whatever it started there."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, number)


def status_of(code: int) -> str:
    """Describe a return code."""
    if code == 0:
        return DONE
    if code > 0:
        return f"failed ({code})"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""
