"""The commands that results are made of: each is run once, and what it took is kept."""

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

    A run that was interrupted is started again: training goes on where it stopped.

    Args:
      folder: gets ``cost.json`` at the end: minutes over all attempts (None if an attempt left no
        note), the commit that the last one began with, and the command.
      command: the module and its arguments.

    Raises:
      CommandError: it failed.
    """
    if is_complete(folder):
        return
    begin, before, commit = time.time(), _minutes_before(folder), commit_of(Path.cwd())
    (folder / _INTERRUPTED).unlink(missing_ok=True)  # a killed attempt leaves no note
    try:
        _execute(command)
    except BaseException:
        if folder.exists():
            write_json(folder / _INTERRUPTED, {"minutes": _since(begin, before)})
        raise
    note = {"commit": commit, "command": command_text(folder, command)}
    write_json(folder / _COMPLETE, {"minutes": _since(begin, before), **note})


def leave_on_sigterm() -> None:
    """Let SIGTERM be an exception, so that a command in the middle is ended and waited for."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def command_text(folder: Path, command: Sequence[str]) -> str:
    """A command as it is noted: without the place of its folder."""
    words = [word.replace(str(folder), "WORKDIR") for word in command]
    return shlex.join(["python", "-m", *words])


def is_complete(folder: Path) -> bool:
    """Whether ``run_once`` has nothing left to do."""
    return (folder / _COMPLETE).exists()


def cost(folder: Path) -> dict[str, Any]:
    """What a complete run took."""
    return json.loads((folder / _COMPLETE).read_text())


def _minutes_before(folder: Path) -> float | None:
    if not folder.exists():
        return 0.0
    note = folder / _INTERRUPTED
    return json.loads(note.read_text())["minutes"] if note.exists() else None


def _since(begin: float, before: float | None) -> float | None:
    return None if before is None else round(before + (time.time() - begin) / 60, 2)


def _execute(command: Sequence[str]) -> None:
    """Run a module; its standard error is passed on line by line."""
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
    if process.returncode < 0:  # it had no say: out of memory, or somebody ended it
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
