"""Full disks and quotas: whole commands, and the writers of files by themselves."""

import random
import re
import resource
from collections.abc import Callable
from pathlib import Path

import jax

from experiments.benchmarks.faults.child import Child
from experiments.benchmarks.faults.fault import Fault, Kind
from experiments.benchmarks.faults.room import SmallDisk
from experiments.benchmarks.faults.runs import Runs
from experiments.benchmarks.faults.worker import Worker
from experiments.benchmarks.faults.writers import Writers

_COMMANDS = 0.3  # share of the attempts that start a process
_TRAINING = (  # of the paper's model, which decomposes frame after frame
    "--config=tests/tiny.py",
    "--config.train.checkpoint_every=2",
    "--config.evaluate.clips=8",
    "--config.evaluate.lengths=(2,)",
)
_RESULTS = {"predict": "predict", "decompose": "decompose/sample", "eval": "eval"}


class Disks:
    """Commands that write to a small disk, or under a quota; and what they write with."""

    def __init__(self, folder: Path) -> None:
        self._runs = Runs(folder, *_TRAINING)
        self._folder, self._count = folder, 0
        # Made here, as the process of the writers may be killed before it takes its disk away.
        self._disk = SmallDisk(folder / "writers_disk")
        self._writers: Kind = Worker(lambda _: Writers(self._disk), folder / "writers")

    def attempt(self, chance: random.Random) -> None:
        """Let room run out for one command, or one writer."""
        if chance.random() >= _COMMANDS:
            self._writers.attempt(chance)
            return
        self._count += 1
        disk = SmallDisk(self._folder / f"disk_{self._count}")
        try:
            mode = chance.choice(["train", "train", "tensorboard", "predict", "decompose", "eval"])
            if mode == "train":
                self._train(disk, chance)
            elif mode == "tensorboard":
                self._tensorboard(disk, chance)
            else:
                self._apply(mode, disk, chance)
        finally:
            disk.close()

    def close(self) -> None:
        """End what was started."""
        self._writers.close()
        self._disk.close()

    def _train(self, disk: SmallDisk, chance: random.Random) -> None:
        """A run whose disk fills up says so, loses nothing, and goes on once there is room."""
        workdir = disk.folder / "run"
        child = self._limited(disk, chance, lambda **room: self._runs.start(workdir, **room), 400)
        _check_end(child, disk)
        self._runs.finish(workdir)

    def _tensorboard(self, disk: SmallDisk, chance: random.Random) -> None:
        """A training without room for event files ends as if there was some."""
        workdir = self._runs.next_workdir()
        workdir.mkdir()
        (workdir / "tensorboard").symlink_to(disk.folder)
        with disk.filled(chance.choice([0, 4096, 16384])):
            child = self._runs.start(workdir)
            if child.wait():
                raise Fault(f"no room for TensorBoard: {child.text[-2000:]}")
        if "Traceback" in child.text:
            raise Fault(f"a traceback: {child.text[-2000:]}")
        self._runs.finish(workdir)

    def _apply(self, mode: str, disk: SmallDisk, chance: random.Random) -> None:
        """Results of before are replaced as a whole, or stay."""
        workdir = disk.folder / "results"
        results = workdir / _RESULTS[mode]
        arguments = [f"--mode={mode}", f"--workdir={workdir}", "--host_devices=1"]
        arguments += [f"--checkpoint={self._runs.alone}"]
        if mode == "decompose":
            arguments.append("--input=stiid://sample")
        (results / "old").mkdir(parents=True)
        (results / "old" / "file").write_text("of before", encoding="ascii")
        log = self._folder / f"{mode}.txt"
        child = self._limited(disk, chance, lambda **room: Child(arguments, log, **room), 120)
        code = _check_end(child, disk)
        hidden = [path.name for path in results.parent.iterdir() if path.name.startswith(".")]
        if hidden and not disk.mounted:
            raise Fault(f"{hidden} stayed")
        is_old = (results / "old" / "file").exists()
        if mode == "eval" or (is_old if code else not is_old):
            return
        raise Fault(f"exit code {code}, and the results of before are {is_old and 'not '}replaced")

    def _limited(
        self,
        disk: SmallDisk,
        chance: random.Random,
        start: Callable[..., Child],
        most: int,
    ) -> Child:
        """Run a process with little room, at most so many kB; the room comes back at its end."""
        room = 1024 * chance.randint(0, most)
        if disk.mounted and chance.random() < 0.7:
            with disk.filled(room):
                child = start()
                child.wait()
                return child
        size = chance.choice([0, 512, 4096, 20_000, room])

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            # JAX would leave parts of programs in its cache, which others read.
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)

        child = start(prepare=limit)
        child.wait()
        return child


def _check_end(child: Child, disk: SmallDisk) -> int:
    """A process ended well, or with one line that names the place; its exit code."""
    code, text = child.wait(), child.text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    if "Traceback" in text or code not in (0, 1) or len(errors) != code:
        raise Fault(f"exit code {code}: {text[-3000:]}")
    if code and not re.search(re.escape(str(disk.folder)), errors[0]):
        raise Fault(f"no place is named: {errors[0]}")
    return code
