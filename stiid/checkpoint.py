"""Orbax checkpoints: the state, the data iterator, the progress, and the config behind them.

The only file that knows of Orbax. A checkpoint is written beside and renamed when it is complete,
so that a process killed at any time leaves the last good one.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from stiid.parallel import replicated
from stiid.state import TrainState


class Checkpoints:
    """The checkpoints of a run: the latest two and the best.

    Args:
      directory: absolute; created when ``create``.
      best_metric: the larger this entry of the evaluation's metrics, the better.
      create: whether this run may write.
    """

    def __init__(self, directory: Path, *, best_metric: str, create: bool) -> None:
        if not create and not directory.is_dir():
            raise FileNotFoundError(
                f"no checkpoints at {directory}: train there first, or pass --checkpoint=PATH"
            )

        def score(metrics: Mapping[str, float]) -> float:
            return metrics[best_metric]

        self._score = score
        self._manager = ocp.CheckpointManager(
            directory.resolve(),
            options=ocp.CheckpointManagerOptions(
                create=create,
                read_only=not create,
                cleanup_tmp_directories=create,
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(2),
                        policies.BestN(
                            get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
                        ),
                    ]
                ),
            ),
        )

    def save(
        self,
        state: TrainState,
        *,
        data: grain.DatasetIterator,
        progress: Mapping[str, Any],
        config: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Save everything that resuming needs, in the background; a step is saved once."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_storable(state)),
                data=grain.checkpoint.CheckpointSave(data),
                progress=ocp.args.JsonSave(dict(progress)),
                config=ocp.args.JsonSave(dict(config)),
            ),
            metrics=dict(metrics) if metrics else None,
        )

    def steps(self) -> list[int]:
        """The steps that can be restored, in order."""
        return sorted(self._manager.all_steps())

    def choose(self, wanted: str) -> int:
        """The step that "latest", "best" or a number names."""
        steps = self.steps()
        if not steps:
            raise FileNotFoundError(
                f"no complete checkpoint in {self._manager.directory}: train there first"
            )
        if wanted == "latest":
            return steps[-1]
        if wanted == "best":
            return self.best_step()
        if int(wanted) not in steps:
            raise FileNotFoundError(
                f"no checkpoint {wanted} in {self._manager.directory}, only {steps}"
            )
        return int(wanted)

    def best_step(self) -> int:
        """The step with the best evaluation, or the latest if none was evaluated."""
        scored = {step: self._manager.metrics(step) for step in self.steps()}
        scored = {step: metrics for step, metrics in scored.items() if metrics}
        if not scored:
            return self.steps()[-1]
        return max(scored, key=lambda step: self._score(scored[step]))

    def config(self, step: int) -> dict[str, Any]:
        """The config of a checkpoint."""
        return self._item(step, config=ocp.args.JsonRestore())["config"]

    def progress(self, step: int) -> dict[str, Any]:
        """The progress of a checkpoint."""
        return self._item(step, progress=ocp.args.JsonRestore())["progress"]

    def state(self, step: int, template: TrainState) -> TrainState:
        """The state of a checkpoint, on all local devices.

        Args:
          step: of the checkpoint.
          template: shapes and dtypes, from ``jax.eval_shape``.
        """
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated()),
            _storable(template),
        )
        try:
            stored = self._item(step, state=ocp.args.StandardRestore(shapes))["state"]
        except (ValueError, KeyError, TypeError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise ValueError(
                f"checkpoint {step} in {self._manager.directory} does not fit this model: {first}. "
                "Use the config that it was trained with (it is stored in the checkpoint)"
            ) from error
        return dataclasses.replace(stored, key=jax.random.wrap_key_data(stored.key))

    def restore_data(self, step: int, iterator: grain.DatasetIterator) -> None:
        """Set a data iterator to where the checkpoint left it."""
        self._item(step, data=grain.checkpoint.CheckpointRestore(iterator))

    def close(self) -> None:
        """Wait for saves under way."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _item(self, step: int, **arguments: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**arguments))


def locate(workdir: Path, checkpoint: str) -> tuple[Path, str]:
    """The folder of checkpoints, and which of them, that ``--checkpoint`` means.

    Args:
      workdir: of the run.
      checkpoint: "latest" or "best" (of the workdir), or the path of a workdir, of its folder of
        checkpoints, or of one checkpoint.
    """
    if checkpoint in ("latest", "best"):
        return workdir / "checkpoints", checkpoint
    path = Path(checkpoint).expanduser().resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"--checkpoint={checkpoint}: no such folder")
    if (path / "checkpoints").is_dir():
        return path / "checkpoints", "latest"
    return (path.parent, path.name) if path.name.isdigit() else (path, "latest")


def _storable(state: TrainState) -> TrainState:
    """The state with its key as plain numbers."""
    if isinstance(state.key, jax.ShapeDtypeStruct):
        return dataclasses.replace(state, key=jax.eval_shape(jax.random.key_data, state.key))
    return dataclasses.replace(state, key=jax.random.key_data(state.key))
