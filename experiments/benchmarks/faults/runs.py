"""Trainings of the tiny experiment that are interrupted again and again, and one that is not."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from experiments.benchmarks.faults.child import Child
from experiments.benchmarks.faults.fault import Fault
from stiid.training.log import read_log

QUICK = "experiments/benchmarks/faults/quick.py"


class Runs:
    """One undisturbed training in a folder, and others beside it that must become equal to it.

    Args:
      folder: of all of them.
      arguments: of the command line; the config among them.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._count = folder, 0
        self.training = [
            *arguments,
            "--host_devices=1",
            f"--config.data.data_dir={folder / 'data'}",
        ]
        self.alone = folder / "alone"
        child = self.start(self.alone)
        if child.wait(seconds=1800):
            raise Fault(f"the training that nothing disturbs: {child.text[-2000:]}")

    def start(self, workdir: Path, **options: Any) -> Child:
        """Train in a folder, or resume there."""
        log = self._folder / f"{workdir.name}.txt"
        return Child([*self.training, f"--workdir={workdir}"], log, **options)

    def next_workdir(self) -> Path:
        """A folder for another run; that of the last one goes."""
        shutil.rmtree(self._folder / f"run_{self._count}", ignore_errors=True)
        self._count += 1
        return self._folder / f"run_{self._count}"

    def finish(self, workdir: Path) -> None:
        """Let a run come to its end, and compare it with the one that was left alone.

        Raises:
          Fault: it fails, or differs.
        """
        saved = checkpoints(workdir)
        child = self.start(workdir)
        if child.wait():
            raise Fault(f"the run does not come to its end: {child.text[-2000:]}")
        check_resumed(saved, child)
        ours, theirs = content(workdir), content(self.alone)
        for name, value in theirs.items():
            if ours[name] != value:
                raise Fault(f"{name} differs from that of an undisturbed run")


def check_resumed(saved: list[int], child: Child) -> None:
    """A run that has begun anew goes on from the newest checkpoint that was there.

    Raises:
      Fault: it went on from another one, or said what no user should read.
    """
    if "Traceback" in child.text:
        raise Fault(f"a traceback: {child.text[-3000:]}")
    found = re.search(r"Resuming from step (\d+)", child.text)
    if found and [int(found[1])] != saved[-1:]:
        raise Fault(f"checkpoints {saved} were there, and it resumed from step {found[1]}")
    if not found and saved and "step " in child.text and "first step after" in child.text:
        raise Fault(f"checkpoints {saved} were there, and it began anew")


def checkpoints(workdir: Path) -> list[int]:
    """Steps of the complete checkpoints of a run."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def rows(workdir: Path) -> list[dict[str, Any]]:
    """The log of a run, without its times."""
    path = workdir / "metrics.jsonl"
    found = read_log(path) if path.exists() else []
    return [{key: value for key, value in row.items() if key != "time"} for row in found]


def content(workdir: Path) -> dict[str, Any]:
    """What two runs of the same experiment share: digests of the last state, log, and scores."""
    last = workdir / "checkpoints" / str(checkpoints(workdir)[-1])
    digests = json.loads((last / "digests" / "metadata").read_text(encoding="utf-8"))
    scores = json.loads((workdir / "eval" / "metrics.json").read_text(encoding="utf-8"))
    return {"state": digests, "log": rows(workdir), "scores": scores}
