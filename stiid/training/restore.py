"""Restore models from checkpoints."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from stiid import parallel
from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.data.source import Source
from stiid.models.base import VideoModel
from stiid.paths import local_path
from stiid.progress import waiting
from stiid.training.checkpoints import Checkpoints, RemovedError
from stiid.training.compatibility import MODEL, check_same
from stiid.training.locate import locate
from stiid.training.memory import check_memory
from stiid.training.migration import migrate
from stiid.training.released import Release, is_release
from stiid.training.state import TrainState
from stiid.training.validate import check_test, trained_shapes
from stiid.typed_config import parse

_LOG = logging.getLogger("stiid")


def restore(
    experiment: Experiment | None, workdir: Path, checkpoint: str
) -> tuple[Experiment, TrainState, Source, VideoModel]:
    """Restore a checkpoint and all that is needed to apply it.

    Args:
      experiment: of the config file, or None to take the one stored in the checkpoint.
      workdir: of the run.
      checkpoint: see ``locate.locate``.

    Returns:
      The experiment, its state, the clips to evaluate on, and the model with its test-time
      inference.
    """
    experiment, state, system = restore_model(experiment, workdir, checkpoint)
    return experiment, parallel.replicate(state), load_clips(experiment), system


def restore_model(
    experiment: Experiment | None, workdir: Path, checkpoint: str
) -> tuple[Experiment, TrainState, VideoModel]:
    """Restore a checkpoint as a model, without data.

    Args:
      experiment: of the config file, or None to take the one stored in the checkpoint.
      workdir: of the run; ignored for a released model.
      checkpoint: see ``locate.locate``.

    Returns:
      The experiment, its state on the host, and the model with its test-time inference.
    """
    with chosen(experiment, workdir, checkpoint) as (experiment, checkpoints, step):
        state, system = restored(checkpoints, step, experiment)
    return experiment, state, system


@contextlib.contextmanager
def chosen(
    experiment: Experiment | None, workdir: Path, checkpoint: str
) -> Iterator[tuple[Experiment, Checkpoints | Release, int]]:
    """Open a checkpoint: the experiment to apply, the open checkpoints, and the step.

    Args:
      experiment: see ``restore``.
      workdir: see ``restore``.
      checkpoint: see ``restore``.

    Raises:
      ValueError, OSError: there is no such checkpoint, or it is of another model.
    """
    directory, wanted = locate(workdir, checkpoint)
    opened = Release(directory) if is_release(directory) else Checkpoints(directory)
    with opened as checkpoints:
        step = checkpoints.choose(wanted)
        try:
            stored = migrate(checkpoints.config(step))
        except RemovedError:
            step = checkpoints.choose_again()
            stored = migrate(checkpoints.config(step))
        if experiment is None:
            experiment = _stored_experiment(stored, f"checkpoint {step} in {directory}")
        else:
            check_same(
                MODEL,
                experiment,
                stored,
                where=directory,
                advice="Leave out --config to take the stored one, or name another --checkpoint",
            )
        yield experiment, checkpoints, step


def restored(
    checkpoints: Checkpoints | Release, step: int, experiment: Experiment
) -> tuple[TrainState, VideoModel]:
    """Read what ``chosen`` opened: the state on the host, and the model with test-time inference.

    Args:
      checkpoints: the open checkpoints.
      step: of the checkpoint to read.
      experiment: config to apply; checked before anything is read.
    """
    check_memory(experiment)
    view = registry.view(experiment.data.name, **experiment.data.options)
    image_shape = (view.height, view.width, view.channels)
    system = experiment.at_test().model.build(image_shape)
    with waiting("Checking that model and config fit"):
        template = trained_shapes(experiment, image_shape)
        check_test(experiment, image_shape, template.params)
    for left in range(5, -1, -1):
        try:
            with waiting(f"Reading checkpoint {step}"):
                state = checkpoints.state(step, template)
            break
        except RemovedError:
            if not left:
                raise
            step = checkpoints.choose_again()
    _LOG.info("Restored step %d of %s", step, checkpoints.directory)
    return state, system


def stored_experiment(workdir: Path, checkpoint: str) -> Experiment:
    """The config of a checkpoint; arguments and errors as in ``restore``."""
    with chosen(None, workdir, checkpoint) as (experiment, _, _):
        return experiment


def _stored_experiment(stored: dict[str, Any], name: str) -> Experiment:
    try:
        return cast(Experiment, parse(Experiment, stored, where=f"config of {name}"))
    except ValueError as error:
        raise ValueError(
            f"{error}. Another version wrote it: pass the config of this version as --config"
        ) from None


def load_clips(experiment: Experiment, split: str | None = None) -> Source:
    """Open the clips of a split; by default those to evaluate on."""
    data = experiment.data
    return registry.load(
        data.name,
        split or experiment.evaluate.split,
        data_dir=str(local_path(data.data_dir, "config.data.data_dir")),
        **data.options,
    )


@contextlib.contextmanager
def errors_only(name: str) -> Iterator[None]:
    """Suppress the warnings of a logger."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
