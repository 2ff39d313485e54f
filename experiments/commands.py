"""Run the commands of results, each once, and record their cost."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stiid.files import write_json

_COMPLETE, _INTERRUPTED = "cost.json", "interrupted.json"


class CommandError(RuntimeError):
    """A command failed; the message is the last line of its standard error."""


def run_once(folder: Path, command: Sequence[str]) -> None:
    """Run a Python module that writes to a folder, unless it is complete there.

    An interrupted run is started again, and training resumes.

    Args:
      folder: gets ``cost.json`` at the end: the command, the commit at which the last attempt
        began, and the minutes of all attempts (None if one was killed and left no record).
      command: the module and its arguments.

    Raises:
      CommandError: it failed.
    """
    if is_complete(folder):
        return
    begin, before, commit = time.time(), _minutes_before(folder), commit_of(Path.cwd())
    (folder / _INTERRUPTED).unlink(missing_ok=True)  # a killed attempt leaves no record
    try:
        _execute(command)
    except BaseException:
        if folder.exists():
            write_json(folder / _INTERRUPTED, {"minutes": _since(begin, before)})
        raise
    note = {"commit": commit, "command": command_text(folder, command)}
    write_json(folder / _COMPLETE, {"minutes": _since(begin, before), **note})


def leave_on_sigterm() -> None:
    """Turn SIGTERM into an exception, so that a running command is ended and waited for."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def command_text(folder: Path, command: Sequence[str]) -> str:
    """A command as it is recorded, without the path of its folder."""
    words = [word.replace(str(folder), "WORKDIR") for word in command]
    return shlex.join(["python", "-m", *words])


def is_complete(folder: Path) -> bool:
    """Whether ``run_once`` has nothing left to do."""
    return (folder / _COMPLETE).exists()


def cost(folder: Path) -> dict[str, Any]:
    """Cost of a complete run."""
    return json.loads((folder / _COMPLETE).read_text())


def _minutes_before(folder: Path) -> float | None:
    if not folder.exists():
        return 0.0
    note = folder / _INTERRUPTED
    return json.loads(note.read_text())["minutes"] if note.exists() else None


def _since(begin: float, before: float | None) -> float | None:
    return None if before is None else round(before + (time.time() - begin) / 60, 2)


def _execute(command: Sequence[str]) -> None:
    """Run a module, and pass on its standard error line by line."""
    words = [sys.executable, "-m", *command]
    last = ""
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        try:
            for line in process.stderr or ():
                sys.stderr.write(line)
                if line.startswith("error: ") or not last.startswith("error: "):
                    last = line.strip() or last
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # which a terminal sends to both
                process.terminate()
            sys.stderr.writelines(process.stderr or ())  # a training saves before it leaves
            raise
    if process.returncode < 0:  # killed: out of memory, or by somebody
        raise CommandError(f"{command[0]} was ended by signal {-process.returncode}")
    if process.returncode:
        raise CommandError(last or f"{command[0]} ended with {process.returncode}")


def commit_of(checkout: Path) -> str:
    """The commit of a checkout, "-dirty" if it was changed since, or "unknown"."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or files without their history
        return "unknown"
