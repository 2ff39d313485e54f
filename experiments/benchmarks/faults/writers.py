"""What writes files, on a disk that is full for a while."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.faults.fault import Fault, check_message
from experiments.benchmarks.faults.room import SmallDisk
from stiid.data.video.frames import VideoInfo
from stiid.data.view import View
from stiid.files import write_json
from stiid.outputs.decomposition import SlotFrame, write_decomposition
from stiid.training.checkpoints import Checkpoints
from stiid.training.log import MetricWriter, read_log
from stiid.training.state import TrainState

_CONFIG = {"train": {"best_metric": "f_ari"}}


class Writers:
    """Checkpoints, logs, decompositions and JSON files that find too little room.

    Args:
      disk: that they write to; whoever made it takes it away.
    """

    def __init__(self, disk: SmallDisk) -> None:
        self._disk = disk

    def attempt(self, chance: random.Random) -> None:
        """Let one of them find too little room; afterwards there is some again."""
        self._disk.clear()
        write = chance.choice([_checkpoint, _log, _decomposition, _file])
        write(self._disk, chance)

    def close(self) -> None:
        """There is nothing left to check."""


def _checkpoint(disk: SmallDisk, chance: random.Random) -> None:
    """A save that fails leaves the earlier checkpoint, and the next one succeeds."""
    folder = disk.folder / "checkpoints"
    _save(folder, 1)
    with disk.filled(chance.randint(0, 60_000)):
        saved = _refused(lambda: _save(folder, 2), folder)
    _restore(folder, 2 if saved else 1)
    _save(folder, 3)
    _restore(folder, 3)


def _log(disk: SmallDisk, chance: random.Random) -> None:
    """Lines that found no room come when there is some; nothing is raised."""
    full = range(chance.randint(1, 10), 30)
    with MetricWriter(disk.folder / "run") as writer:
        for step in range(full.start):
            writer.write(step, "train", {"loss": step / 7})
        with disk.filled(chance.randint(0, 2000)):
            for step in full:
                writer.write(step, "train", {"loss": step / 7})
                writer.write_image(step, "sheet", np.zeros((20, 20, 3), np.uint8))
        writer.write(full.stop, "train", {"loss": full.stop / 7})
    rows = read_log(disk.folder / "run" / "metrics.jsonl")
    if [row["loss"] for row in rows] != [step / 7 for step in range(full.stop + 1)]:
        raise Fault(f"lines were lost: {[row['step'] for row in rows]}")


def _decomposition(disk: SmallDisk, chance: random.Random) -> None:
    """A decomposition that fails leaves the older one as it was."""
    folder, counts = disk.folder / "decompose" / "a", (2, 4)
    _decompose(folder, counts[0])
    before = _contents(folder)
    with disk.filled(chance.randint(0, 200_000)):
        written = _refused(lambda: _decompose(folder, counts[1]), folder)
    if not written and _contents(folder) != before:
        raise Fault("the older decomposition is not what it was")
    masks = np.load(folder / "masks.npz")["slots"]
    if len(masks) != counts[written]:
        raise Fault(f"{len(masks)} masks of {counts[written]}")


def _file(disk: SmallDisk, chance: random.Random) -> None:
    path, size = disk.folder / "a.json", chance.randint(1, 20_000)
    write_json(path, {"before": 1})
    before = path.read_bytes()
    with disk.filled(chance.randint(0, 10_000)):
        written = _refused(lambda: write_json(path, {"text": "a" * size}), path)
    if not written and path.read_bytes() != before:
        raise Fault("the older file is not what it was")


def _refused(write: Callable[[], None], path: Path) -> bool:
    """Whether something was written; if not, one line has named the place."""
    try:
        write()
    except OSError as error:
        check_message(str(error))
        if str(path) not in str(error):
            raise Fault(f"no place is named: {error}") from error
        return False
    return True


def _state(step: int) -> TrainState:
    params = {"kernel": jnp.arange(2000.0).reshape(40, 50) / 7 + step}
    return TrainState(
        step=jnp.int32(step),
        params=params,
        opt_state={},
        key=jax.random.key(step),
        skipped=jnp.int32(0),
    )


def _save(folder: Path, step: int) -> None:
    with Checkpoints(folder, best_metric="f_ari") as checkpoints:
        checkpoints.save(
            _state(step),
            data=iter(grain.MapDataset.range(9).to_iter_dataset()),
            progress={"stage": 0},
            config=_CONFIG,
        )


def _restore(folder: Path, step: int) -> None:
    with Checkpoints(folder) as checkpoints:
        found = checkpoints.choose("latest")
        state = checkpoints.state(found, jax.eval_shape(lambda: _state(step)))
    if found != step or not np.array_equal(state.params["kernel"], _state(step).params["kernel"]):
        raise Fault(f"checkpoint {found} instead of {step}")


def _decompose(folder: Path, count: int) -> None:
    def frames() -> Iterator[SlotFrame]:
        for t in range(count):
            means = np.full((3, 16, 16, 3), t / 9, np.float32)
            masks = np.random.default_rng(t).dirichlet(np.ones(3), (16, 16)).transpose(2, 0, 1)
            image = np.full((16, 16, 3), 9 * t, np.uint8)
            yield SlotFrame(t, image, means[0], masks.astype(np.float32), means)

    view = View(height=16, width=16, channels=3)
    write_decomposition(folder, frames(), info=VideoInfo(view), card={"checkpoint": "c"})


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
