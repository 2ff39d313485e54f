"""Training that is killed, or gets one or two signals, at random moments, and is resumed."""

import random
import signal
import time
from pathlib import Path

from experiments.benchmarks.faults.child import Child
from experiments.benchmarks.faults.fault import LIMIT, Fault
from experiments.benchmarks.faults.runs import QUICK, Runs, check_resumed, checkpoints, rows

_FRESH = 0.1  # share of the processes that are started anew, with all their imports
_IN_A_RUN = 4  # interruptions, after which a run may come to its end
_LEAVING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


class _Interruptions:
    """Runs that are interrupted some times each, then finished and compared."""

    def __init__(self, folder: Path) -> None:
        self._runs = Runs(folder, f"--config={QUICK}")
        self._workdir, self._interrupted = self._runs.next_workdir(), 0
        self._start, self._rest = 3.0, 3.0  # seconds until the first row, and from it on

    def attempt(self, chance: random.Random) -> None:
        """Interrupt the run under way."""
        if self._interrupted >= _IN_A_RUN:
            self.close()
        while True:
            saved = checkpoints(self._workdir)
            child = self._runs.start(self._workdir, fresh=chance.random() < _FRESH)
            try:
                if not self._wait_for_moment(child, chance):
                    self._next()  # it came to its end: there was nothing to interrupt
                    continue
                self.interrupt(child, chance)
                check_resumed(saved, child)
            except Fault:
                child.send(signal.SIGKILL)
                self._workdir, self._interrupted = self._runs.next_workdir(), 0
                raise
            self._interrupted += 1
            return

    def interrupt(self, child: Child, chance: random.Random) -> None:
        """Interrupt a process; raises ``Fault``."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the run come to its end, and compare."""
        workdir, self._interrupted = self._workdir, 0
        try:
            self._runs.finish(workdir)
        finally:
            self._next()

    def _next(self) -> None:
        self._workdir, self._interrupted = self._runs.next_workdir(), 0

    def _wait_for_moment(self, child: Child, chance: random.Random) -> bool:
        """Wait for a random moment of the start, or of the rest; false if it ends before."""
        began = time.monotonic()
        child.wait_until(child.listens)
        if chance.random() < 0.4:
            moment = began + chance.uniform(0, self._start)
            return child.wait_until(lambda: time.monotonic() >= moment)
        known = len(rows(self._workdir))

        def has_stepped() -> bool:
            nonlocal known
            count = len(rows(self._workdir))
            known = min(known, count)  # resuming first drops rows after the checkpoint
            return count > known

        if not child.wait_until(has_stepped):
            return False
        first = time.monotonic()
        self._start = first - began
        moment = first + chance.uniform(0, self._rest)
        if child.wait_until(lambda: time.monotonic() >= moment):
            return True
        self._rest = time.monotonic() - first
        return False


class Kills(_Interruptions):
    """SIGKILL at random moments: nothing that was saved is lost."""

    def interrupt(self, child: Child, chance: random.Random) -> None:
        """Kill it."""
        child.send(signal.SIGKILL)


class Signals(_Interruptions):
    """One signal or two: the process ends in time, with its line and code, and has saved."""

    def interrupt(self, child: Child, chance: random.Random) -> None:
        """Send one signal, or another one soon after it."""
        numbers = chance.choices(_LEAVING, k=chance.randint(1, 2))
        child.send(numbers[0])
        if len(numbers) == 2:
            time.sleep(chance.choice([0.0, 0.05, 0.5, 2.5]))
            child.send(numbers[1])
        code = child.wait(seconds=LIMIT)
        lines = child.text.splitlines()
        if code == 0 and any(line.startswith("wrote ") for line in lines):
            return  # it was at its end
        if code not in [128 + number for number in numbers]:
            raise Fault(f"signals {numbers}: exit code {code}: {child.text[-2000:]}")
        errors = [line for line in lines if line.startswith("error: ")]
        if len(errors) != 1 or not errors[0].startswith("error: stopped by SIG"):
            raise Fault(f"signals {numbers}: not one line: {errors}")
        if "which is saved" in errors[0]:
            step = int(errors[0].partition(" after step ")[2].partition(",")[0])
            if step not in checkpoints(self._workdir):
                raise Fault(f"step {step} is not saved: {errors[0]}")
