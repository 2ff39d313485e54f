"""Find errors of later stages and of the evaluation before training begins.

Models are traced, not compiled, with the shapes of the initial parameters and of the clips of each
stage and of the evaluation.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from stiid import parallel
from stiid.config.experiment import Experiment
from stiid.data.source import Source
from stiid.errors import first_line
from stiid.models.base import VideoModel, with_objects
from stiid.shapes import Params
from stiid.training.cost import operations
from stiid.training.loop import stage_data
from stiid.training.memory import check_state
from stiid.training.state import TrainState
from stiid.training.update import init_state

ImageShape = tuple[int, int, int]


def trained_shapes(experiment: Experiment, image_shape: ImageShape) -> TrainState:
    """Shapes and dtypes of the training state; the template of a checkpoint."""
    system = experiment.model.build(image_shape)
    shapes = _trace("config.model", lambda: init_state(experiment, system))
    check_state(shapes)
    return shapes


def check_stages(
    experiment: Experiment, source: Source, held_out: Source, trained: Params
) -> dict[str, float]:
    """Trace the loss of every stage, once for equal models and lengths, and open its data.

    Args:
      experiment: of the config file.
      source: clips to train on.
      held_out: clips to evaluate on; ``train.stagnation.patience`` watches the loss on them.
      trained: shapes of the parameters, see ``trained_shapes``.

    Returns:
      Work of one update by the stage's name, in operations of its loss.
    """
    work: dict[str, float] = {}
    image_shape, frames = source[0]["video"].shape[1:], len(held_out[0]["video"])
    counted: dict[tuple[VideoModel, int], float] = {}  # operations of the loss of one clip
    for index, name in enumerate(experiment.train.order):
        stage, where = experiment.train.stages[name], f"train.stages.{name}"
        parallel.check_batch_size(stage.batch_size, name=f"{where}.batch_size")
        if experiment.train.stagnation.patience and stage.num_frames > frames:
            raise ValueError(
                f"{where}.num_frames = {stage.num_frames} does not fit held-out clips of {frames} "
                "frames, on which train.stagnation.patience watches the loss"
            )
        stage_data(experiment, index, name, source)
        system = experiment.at_stage(name).model.build(image_shape)
        key = system, stage.num_frames
        if key not in counted:
            if stage.model:
                _check_parameters(where, system, trained)
            clip = clip_shapes(system, stage.num_frames, image_shape)
            with _naming(where):
                counted[key] = operations(system.loss, (trained, *clip))
        work[name] = stage.batch_size * counted[key]
    return work


def check_test(experiment: Experiment, image_shape: ImageShape, trained: Params) -> None:
    """Trace the decomposition that evaluation, prediction and ``decompose`` use.

    Args:
      experiment: of the config file.
      image_shape: [H, W, C] of the frames.
      trained: shapes of the parameters, see ``trained_shapes``.
    """
    settings, where = experiment.evaluate, "evaluate.model"
    system = experiment.at_test().model.build(image_shape)
    if settings.model:
        _check_parameters(where, system, trained)
    decompose = functools.partial(system.decompose, decoding=settings.decoding)
    _trace(where, decompose, trained, *clip_shapes(system, max(settings.lengths), image_shape))


def _check_parameters(where: str, system: VideoModel, trained: Params) -> None:
    """Refuse a model whose parameters are not among the trained ones, or have other shapes."""
    there = dict(jax.tree_util.tree_leaves_with_path(trained))
    own = _trace(where, lambda: system.init(jax.random.key(0)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(own):
        found = there.get(path)
        if found is None or found.shape != leaf.shape:
            shape = "is missing" if found is None else f"has shape {found.shape}"
            raise ValueError(
                f"{where}: it needs the parameter params{jax.tree_util.keystr(path)} of shape "
                f"{leaf.shape}, which {shape} in config.model: set there the options that add it"
            )


def _trace(where: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Trace a function, and return the shapes of its result; errors name the wrong section."""
    with _naming(where):
        return jax.eval_shape(function, *arguments)


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Name the wrong section of the config in errors."""
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{where}: {kind}{first_line(error)}") from error


def clip_shapes(model: VideoModel, num_frames: int, image_shape: ImageShape) -> tuple[Any, Any]:
    """A batch of one clip, as a model takes it, and its key."""
    shapes = (1, num_frames, *image_shape), (1, 1, *image_shape[:2])
    clip = lambda: with_objects(model, *(jnp.zeros(shape, jnp.uint8) for shape in shapes))  # noqa: E731
    return jax.eval_shape(clip), jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
