"""Processes that do timed steps in turns, so that disturbances affect all of them."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

WARM_UP = 2  # steps, which compile


def resident_gb() -> float:
    """Peak host memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def serve(steps: Iterator[float], peak_gb: Callable[[], float] = resident_gb) -> None:
    """Do a step for each line of input; answer with its seconds and the peak memory so far."""
    for _ in sys.stdin:
        seconds = next(steps)
        print(json.dumps({"seconds": seconds, "peak_gb": peak_gb()}), flush=True)


class Side:
    """A process that does steps on demand, warmed up."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd, env=env
        )
        self.seconds: list[float] = []
        self.peak_gb = 0.0
        for _ in range(WARM_UP):
            self.do_step()
        self.first, self.seconds = self.seconds, []

    def do_step(self) -> None:
        self.start_step()
        self.end_step()

    def start_step(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end_step(self) -> None:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{' '.join(self.command)} ended: see above")
        step = json.loads(answer)
        self.seconds.append(step["seconds"])
        self.peak_gb = step["peak_gb"]
