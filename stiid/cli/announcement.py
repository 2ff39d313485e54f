"""What a user should know before a training begins: that it will take long here."""

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
_LONG = 12.0  # hours of a training that nobody expects
_MUCH = 10.0  # times the variance of the pixels, beyond which slots were seen to collapse
_CLIPS = 8  # that the pixels are of
_SHORT = 1e8  # pixels, over all updates, that no model trains on for so long


def announce(experiment: Experiment, config: str | None) -> None:
    """Warn of a training that takes more than half a day on the CPUs that are here.

    Args:
      experiment: to train.
      config: name of its file, whose smaller variants are proposed.
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
        "this training takes about %s on the %d CPU core(s) here, by a first estimate: it is meant "
        "for GPUs. Made for two CPU cores: %s",
        time,
        jax.device_count(),
        ", ".join(f"--config={name}" for name in smaller),
    )


def advise_variance(experiment: Experiment, source: Source) -> None:
    """Warn of a variance of the likelihood beside which objects would not be seen."""
    model = experiment.model
    if model.family != "stiid":
        return
    clips = [source[place]["video"] for place in spaced(len(source), _CLIPS)]
    varies = float(np.mean([np.var(clip / 255.0, axis=(0, 1, 2)).mean() for clip in clips]))
    if 0.0 < varies < model.inference.variance / _MUCH:
        _LOG.warning(
            "pixels of these clips vary by %.2g only (their variance), model.inference.variance is "
            "%g: slots may collapse. Try --config.model.inference.variance=%.1g",
            varies,
            model.inference.variance,
            2 * varies,
        )


def _pixels(experiment: Experiment) -> int:
    """How many pixels all updates of a training see."""
    view = registry.view(experiment.data.name, **experiment.data.options)
    stages = experiment.train.stages.values()
    return view.height * view.width * sum(s.steps * s.batch_size * s.num_frames for s in stages)


def _hours(experiment: Experiment) -> float:
    """A first estimate, by the operations of the first stage."""
    view = registry.view(experiment.data.name, **experiment.data.options)
    image_shape = (view.height, view.width, view.channels)
    name = experiment.train.order[0]
    first = experiment.train.stages[name]
    seconds = update_seconds(
        experiment.at_stage(name).model.build(image_shape).loss,
        (
            trained_shapes(experiment, image_shape).params,
            *clip_shapes(first.num_frames, image_shape),
        ),
        clips=first.batch_size,
        cores=jax.device_count(),
    )
    pixels = view.height * view.width * first.batch_size * first.num_frames
    return seconds * _pixels(experiment) / pixels / 3600
