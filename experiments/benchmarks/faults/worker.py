"""A process in which faults are tried one after the other, watched from outside.

It may hang, crash, or take all memory: then it is ended, and another one goes on.
"""

import contextlib
import json
import os
import random
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from experiments.benchmarks.faults.fault import LIMIT, Fault, Kind
from stiid.training import signals

_LOG = "stderr.txt"
_PATIENCE = 10 * LIMIT  # seconds for the start, which compiles
_MEMORY = 2**30  # bytes that an attempt may add to the peak


class Worker:
    """A kind whose attempts run in another process.

    Args:
      make: the kind, in that process.
      folder: its own.
    """

    def __init__(self, make: Callable[[Path], Kind], folder: Path) -> None:
        self._make, self._folder, self._count = make, folder, 0
        self._pid = 0

    def attempt(self, chance: random.Random) -> None:
        """Let the process make an attempt."""
        if not self._pid:
            self._begin()
        os.write(self._orders, f"{chance.getrandbits(64)}\n".encode())
        fault = self._answer(LIMIT)
        if fault:
            raise Fault(fault)

    def close(self) -> None:
        """End the process."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._orders)
            os.close(self._answers)
            self._pid = 0

    def _begin(self) -> None:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir(parents=True)
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._orders)
            os.close(self._answers)
            try:
                _serve(self._make, folder, orders, answers)
            except BaseException:
                traceback.print_exc()
            finally:
                signals.leave(1)
        os.close(orders)
        os.close(answers)
        fault = self._answer(_PATIENCE)
        if fault:
            raise RuntimeError(f"{fault}, before any attempt: see {folder / _LOG}")

    def _answer(self, seconds: float) -> str:
        ready = select.select([self._answers], [], [], seconds)[0]
        text = os.read(self._answers, 2**16) if ready else b""
        if not ready:
            self.close()
            return f"nothing for {seconds:.0f} s"
        if not text:
            _, status = os.waitpid(self._pid, 0)
            os.close(self._orders)
            os.close(self._answers)
            self._pid = 0
            return f"the process ended with {os.waitstatus_to_exitcode(status)}"
        fault: str = json.loads(text)
        return fault


def _serve(make: Callable[[Path], Kind], folder: Path, orders: int, answers: int) -> None:
    def answer(text: str) -> None:
        os.write(answers, json.dumps(text[-4000:]).encode())

    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w"))
        os.dup2(nowhere.fileno(), 1)
        log = stack.enter_context((folder / _LOG).open("w"))
        os.dup2(log.fileno(), 2)
        kind = make(folder)
        answer("")
        for line in open(orders, encoding="ascii"):  # noqa: SIM115
            before = _peak()
            try:
                kind.attempt(random.Random(int(line)))
                grown = _peak() - before
                answer(f"it took {grown / 2**20:.0f} MB" if grown > _MEMORY else "")
            except Fault as fault:
                answer(str(fault))
            except BaseException as error:
                answer(f"{type(error).__name__}: {error}")


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
