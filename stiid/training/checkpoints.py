"""Orbax checkpoints: the state, the data iterator, the progress, and the config behind them.

The only file that knows Orbax. A checkpoint is written to a temporary folder and renamed when it is
complete, so that a process killed at any time leaves the last good one. All saved items have
digests, which are checked when they are restored.
"""

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from stiid import parallel
from stiid.errors import first_line, remedy
from stiid.paths import name_unlisted_users
from stiid.training import digest
from stiid.training.processes import partner_ended
from stiid.training.state import TrainState, storable


class RemovedError(ValueError):
    """A checkpoint was removed while it was read: a running training removes older ones."""


class Checkpoints:
    """The latest two checkpoints of a run and the best one; a context manager.

    Args:
      directory: absolute; created unless these checkpoints are only read.
      best_metric: name of the metric by which the best checkpoint is kept; None opens the folder
        for reading only.
    """

    def __init__(self, directory: Path, *, best_metric: str | None = None) -> None:
        name_unlisted_users()
        write = best_metric is not None
        if not write and not directory.is_dir():
            raise FileNotFoundError(
                f"no checkpoints at {directory}: train there first, or pass --checkpoint=PATH, or "
                "--checkpoint=stiid://NAME for a released model"
            )
        score = functools.partial(_goodness, name=str(best_metric))
        self.directory = directory
        self._wanted = "latest"
        keep = [
            policies.LatestN(2),
            policies.BestN(get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False),
        ]
        options = ocp.CheckpointManagerOptions(
            create=write,
            read_only=not write,
            cleanup_tmp_directories=write,
            best_fn=score if write else None,  # without it Orbax does not store the metrics
            preservation_policy=policies.AnyPreservationPolicy(keep),
        )
        for left in range(5, -1, -1):
            try:
                self._manager = ocp.CheckpointManager(directory, options=options)
                self._check_scores()
                break
            except RemovedError:
                if not left:
                    raise
            except (ValueError, OSError) as error:  # it reads the metrics of all
                removed = isinstance(error, FileNotFoundError) and not write
                if not (removed and left):  # a running training removes older checkpoints
                    raise ValueError(
                        f"cannot read the scores of the checkpoints in {directory} "
                        f"({first_line(error)}): "
                        + remedy(error, "move the folder of the damaged checkpoint away")
                    ) from error
        self._inode = directory.stat().st_ino

    def save(
        self,
        state: TrainState,
        *,
        data: grain.DatasetIterator,
        progress: Mapping[str, Any],
        config: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Save in the background all that resuming needs; does nothing if the step is saved."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        with self._writing():
            if self._is_gone():
                raise FileNotFoundError("the folder is gone: it was moved or deleted")
            stored = storable(state)
            digests = {
                **digest.of_state(stored),
                "data": parallel.texts_over_processes(digest.of_json(data.get_state())),
                "progress": digest.of_json(progress),
                "config": digest.of_json(config),
                "metrics": digest.of_json(metrics or None),
            }
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(stored),
                    data=grain.checkpoint.CheckpointSave(data),
                    progress=ocp.args.JsonSave(dict(progress)),
                    config=ocp.args.JsonSave(dict(config)),
                    digests=ocp.args.JsonSave(digests),
                ),
                metrics=dict(metrics) if metrics else None,
            )

    def steps(self) -> list[int]:
        """Steps that can be restored, in order."""
        return sorted(self._manager.all_steps())

    def choose(self, wanted: str) -> int:
        """Find the step that is meant by "latest", "best" or a number."""
        self._wanted = wanted
        steps = self.steps()
        if not steps:
            raise FileNotFoundError(
                f"no complete checkpoint in {self.directory}: train there first"
            )
        if wanted == "latest":
            return steps[-1]
        if wanted == "best":
            return self.best_step()
        if int(wanted) not in steps:
            raise FileNotFoundError(f"no checkpoint {wanted} in {self.directory}, only {steps}")
        return int(wanted)

    def choose_again(self) -> int:
        """Repeat the last choice among the checkpoints that exist now."""
        self._manager.reload()
        return self.choose(self._wanted)

    def best_step(self) -> int:
        """The step with the best evaluation, or the latest if none was evaluated."""
        steps = self.steps()
        config = self.config(steps[-1])
        with self._reading(steps[-1], "config"):
            metric = config["train"]["best_metric"]
        scored = {step: self._manager.metrics(step) for step in steps}
        values = {step: _goodness(metrics, metric) for step, metrics in scored.items() if metrics}
        return max(values, key=lambda step: values[step]) if values else steps[-1]

    def config(self, step: int) -> dict[str, Any]:
        """The config of a checkpoint."""
        return self._json(step, "config")

    def progress(self, step: int) -> dict[str, Any]:
        """The progress of a checkpoint."""
        return self._json(step, "progress")

    def state(self, step: int, template: TrainState) -> TrainState:
        """The state of a checkpoint, as NumPy arrays (except the key).

        Args:
          step: of the checkpoint.
          template: shapes and dtypes, from ``jax.eval_shape``.
        """
        wanted = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), storable(template))
        stored = self._item(step, state=ocp.args.StandardRestore(wanted))["state"]
        for (path, ours), theirs in zip(
            jax.tree_util.tree_leaves_with_path(wanted), jax.tree.leaves(stored), strict=True
        ):
            if ours.shape != theirs.shape:
                raise ValueError(
                    f"checkpoint {step} in {self._manager.directory} does not fit this model: "
                    f"{jax.tree_util.keystr(path)} has shape {theirs.shape} there and {ours.shape} "
                    "here. Use the config that it was trained with, or data of the same image size"
                )
        for name, value in digest.of_state(stored).items():
            self._check(step, name, value)
        return dataclasses.replace(stored, key=jax.random.wrap_key_data(stored.key))

    def restore_data(self, step: int, iterator: grain.DatasetIterator) -> None:
        """Set a data iterator to where the checkpoint left it."""
        index, count = jax.process_index(), jax.process_count()
        with self._reading(step, "data"):
            path = self.directory / str(step) / "data" / f"process_{index}-of-{count}.json"
            place = digest.of_json(json.loads(path.read_text(encoding="utf-8")))
        self._check(step, "data", place, process=index)
        self._item(step, data=grain.checkpoint.CheckpointRestore(iterator))

    def wait(self) -> None:
        """Wait for saves under way."""
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for saves under way, and release everything."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except OSError:
            if error is None:  # else the error under way is reported instead
                raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Raise a one-line OSError if this save fails, or an earlier one in the background."""
        try:
            yield
        except Exception as error:  # whatever storage and threads raise
            if partner_ended(error):
                raise
            reason = f"cannot save a checkpoint in {self.directory} ({first_line(error)})"
            raise OSError(f"{reason}. {self._after_failure(error)}") from error

    def _after_failure(self, error: Exception) -> str:
        """What is left of the checkpoints when one cannot be saved, and what to do."""
        if self._is_gone():
            return "The earlier ones were moved or deleted: move them back, or start again"
        complete = any(path.name.isdigit() for path in self.directory.glob("*"))
        left = "Earlier ones are intact" if complete else "There is no earlier one"
        return f"{left}: {remedy(error, 'make room, or make the folder writable')}"

    def _is_gone(self) -> bool:
        """Whether the folder was moved or deleted; a save under way may have made a new one."""
        return not self.directory.is_dir() or self.directory.stat().st_ino != self._inode

    def _item(self, step: int, **arguments: Any) -> Any:
        with self._reading(step, ", ".join(arguments)):
            return self._manager.restore(step, args=ocp.args.Composite(**arguments))

    def _json(self, step: int, name: str) -> dict[str, Any]:
        content: dict[str, Any] = self._item(step, **{name: ocp.args.JsonRestore()})[name]
        self._check(step, name, digest.of_json(content))
        return content

    def _check_scores(self) -> None:
        for step in self.steps():
            self._check(step, "metrics", digest.of_json(self._manager.metrics(step) or None))

    def _check(self, step: int, name: str, found: str, *, process: int | None = None) -> None:
        """Raise if an item differs from what was saved.

        Args:
          step: of the checkpoint.
          name: of the item.
          found: digest of the item as read.
          process: number of the process that saved it, if each process has its own item.
        """
        with self._reading(step, digest.ITEM):
            digests = digest.read(self.directory / str(step))
            saved = found if digests is None else digests[name]
            if process is not None and digests is not None:
                saved = saved[process]
        if saved != found:
            raise ValueError(
                f"checkpoint {step} in {self.directory} is damaged: its {name} differs from what "
                f"was saved. {self._older(step)}"
            )

    @contextlib.contextmanager
    def _reading(self, step: int, what: str) -> Iterator[None]:
        """Turn any error of a reader of damaged files into a ValueError of one line."""
        try:
            yield
        except Exception as error:
            if not (self.directory / str(step)).is_dir():
                raise RemovedError(
                    f"checkpoint {step} in {self.directory} was removed while it was read, as a "
                    "running training removes older ones: start again"
                ) from error
            raise ValueError(
                f"checkpoint {step} in {self.directory}: cannot read its {what} "
                f"({first_line(error)}). " + remedy(error, self._older(step))
            ) from error

    def _older(self, step: int) -> str:
        """Advice on a damaged checkpoint."""
        older = [other for other in self.steps() if other < step]
        if not older:
            return "Move that folder away; there is no older checkpoint to resume from"
        return f"Move that folder away; then checkpoint {older[-1]} is used"


def _goodness(metrics: Mapping[str, float], name: str) -> float:
    """Score to maximize; a metric that is missing or not finite ranks last."""
    value = metrics.get(name, math.nan)
    return (-value if name == "mse" else value) if math.isfinite(value) else -math.inf
