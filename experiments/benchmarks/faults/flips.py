"""A single flipped bit in any file of a checkpoint or a released model: found, or of no account."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.faults.fault import Fault, check_message
from stiid.training.checkpoints import Checkpoints
from stiid.training.released import Release, write_release
from stiid.training.state import TrainState

_CONFIG = {"seed": 0, "train": {"best_metric": "f_ari"}, "evaluate": {"lengths": [1, 2]}}
_RELEASES = 0.2  # share of the attempts


class Flips:
    """Two checkpoints and a released model, of which copies are damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = _state()
        self._template = jax.eval_shape(_state)
        data = _data()
        with Checkpoints(folder / "good", best_metric="f_ari") as checkpoints:
            for step in (1, 2):
                next(data)
                checkpoints.save(
                    self._state.replace(step=jnp.int32(step)),
                    data=data,
                    progress={"stage": step, "loss": 0.1},
                    config=_CONFIG,
                    metrics={"f_ari": step / 7, "mse": 0.25},
                )
        write_release(folder / "release", step=7, params=self._state.params, config=_CONFIG)
        self._expected = {
            name: read(folder / place)
            for name, place, read in (
                ("checkpoint", "good", self._read_checkpoint),
                ("release", "release", self._read_release),
            )
        }

    def attempt(self, chance: random.Random) -> None:
        """Flip one bit of one file."""
        released = chance.random() < _RELEASES
        copy = self._folder / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._folder / ("release" if released else "good"), copy)
        files = [
            path for path in sorted(copy.rglob("*")) if path.is_file() and os.stat(path).st_size
        ]
        path = chance.choice(files)
        damaged = bytearray(path.read_bytes())
        place, bit = chance.randrange(len(damaged)), chance.randrange(8)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        name = "release" if released else "checkpoint"
        read = self._read_release if released else self._read_checkpoint
        found: Any = None
        try:
            found = read(copy)
        except (ValueError, OSError) as error:
            check_message(str(error))
            if str(copy) not in str(error):
                raise Fault(f"no folder is named: {error}") from error
        except BaseException as error:
            raise Fault(f"{type(error).__name__}: {error}"[:2000]) from error
        if found is not None and not _same(found, self._expected[name]):
            where = f"{path.relative_to(copy)}, bit {bit} of byte {place} of {len(damaged)}"
            raise Fault(f"a difference in silence: {where}")

    def close(self) -> None:
        """There is nothing left to check."""

    def _read_checkpoint(self, folder: Path) -> Any:
        """All that resuming and applying read, of the newest."""
        data = _data()
        with Checkpoints(folder) as checkpoints:
            step = checkpoints.choose("latest")
            config, progress = checkpoints.config(step), checkpoints.progress(step)
            state = checkpoints.state(step, self._template)
            checkpoints.restore_data(step, data)
            best = checkpoints.best_step()
        return step, best, config, progress, next(data), _plain(state)

    def _read_release(self, folder: Path) -> Any:
        with Release(folder) as release:
            step = release.choose("latest")
            state = release.state(step, self._template)
            return step, release.config(step), _plain(state)


def _state() -> TrainState:
    values = jnp.arange(320.0).reshape(16, 20) / 7
    return TrainState(
        step=jnp.int32(0),
        params={"layer": {"kernel": values, "bias": values[0]}},
        opt_state=(jnp.float32(0.5), {"mu": values / 3}),
        key=jax.random.key(3),
        skipped=jnp.int32(1),
    )


def _data() -> grain.DatasetIterator:
    return iter(grain.MapDataset.range(100).shuffle(seed=1).to_iter_dataset())


def _plain(state: TrainState) -> TrainState:
    plain = state.replace(key=jax.random.key_data(state.key))
    return jax.tree.map(np.asarray, plain)


def _same(ours: Any, theirs: Any) -> bool:
    def leaf(a: Any, b: Any) -> bool:
        return np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b)

    structures = jax.tree.structure(ours) == jax.tree.structure(theirs)
    return structures and jax.tree.all(jax.tree.map(leaf, ours, theirs))
