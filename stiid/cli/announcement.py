"""Warnings before a training begins: of a long duration, and of an unsuitable variance."""

import logging

import jax
import numpy as np

from stiid.config.experiment import Experiment
from stiid.config.files import small_variants
from stiid.data import registry
from stiid.data.source import Source
from stiid.data.spacing import spaced
from stiid.progress import waiting
from stiid.training.cost import update_seconds
from stiid.training.validate import clip_shapes, trained_shapes

_LOG = logging.getLogger("stiid")
_LONG = 12.0  # hours of a training beyond which a user is warned
_MUCH = 10.0  # ratio to the variance of the pixels beyond which slots have been seen to collapse
_CLIPS = 8  # from which the variance of the pixels is computed
_SHORT = 1e8  # pixels of all updates; below this, no estimate is needed


def announce(experiment: Experiment, config: str | None) -> None:
    """Warn of a training that takes more than half a day on this machine's CPUs.

    Args:
      experiment: to train.
      config: name of its file, whose smaller variants are suggested.
    """
    if jax.default_backend() != "cpu" or _pixels(experiment) < _SHORT:
        return
    with waiting("Estimating how long the training takes"):
        hours = _hours(experiment)
    if hours < _LONG:
        return
    time = f"{hours / 24:.0f} days" if hours > 48 else f"{hours:.0f} hours"
    smaller = small_variants(config) if config is not None else []
    smaller = [name for name in smaller if name != config] or ["configs/quickstart.py"]
    _LOG.warning(
        "this training takes about %s on the %d CPU core(s) here (a rough estimate): it is meant "
        "for GPUs. For two CPU cores, try %s",
        time,
        jax.device_count(),
        ", ".join(f"--config={name}" for name in smaller),
    )


def advise_variance(experiment: Experiment, source: Source) -> None:
    """Warn of a variance of the likelihood that is so large that objects go unnoticed."""
    model = experiment.model
    if model.family != "stiid":
        return
    clips = [source[place]["video"] for place in spaced(len(source), _CLIPS)]
    varies = float(np.mean([np.var(clip / 255.0, axis=(0, 1, 2)).mean() for clip in clips]))
    if 0.0 < varies < model.inference.variance / _MUCH:
        _LOG.warning(
            "the pixels of these clips have a variance of only %.2g, model.inference.variance is "
            "%g: slots may collapse. Try --config.model.inference.variance=%.1g",
            varies,
            model.inference.variance,
            2 * varies,
        )


def _pixels(experiment: Experiment) -> int:
    """Number of pixels in all updates of a training."""
    view = registry.view(experiment.data.name, **experiment.data.options)
    stages = experiment.train.stages.values()
    return view.height * view.width * sum(s.steps * s.batch_size * s.num_frames for s in stages)


def _hours(experiment: Experiment) -> float:
    """Rough estimate, from the operations of the first stage."""
    view = registry.view(experiment.data.name, **experiment.data.options)
    image_shape = (view.height, view.width, view.channels)
    name = experiment.train.order[0]
    first = experiment.train.stages[name]
    model = experiment.at_stage(name).model.build(image_shape)
    seconds = update_seconds(
        model.loss,
        (
            trained_shapes(experiment, image_shape).params,
            *clip_shapes(model, first.num_frames, image_shape),
        ),
        clips=first.batch_size,
        cores=jax.device_count(),
    )
    pixels = view.height * view.width * first.batch_size * first.num_frames
    return seconds * _pixels(experiment) / pixels / 3600
