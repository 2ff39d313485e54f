"""One update of the parameters: its initial state, its gradient, and its compiled form."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from stiid import parallel
from stiid.config.experiment import Experiment
from stiid.config.optimizer import schedule, transformation, without_rates
from stiid.models.base import LossTerms, VideoModel, row_keys
from stiid.shapes import Array, Params
from stiid.training.state import TrainState

Update = Callable[..., tuple[TrainState, dict[str, Array]]]


def init_state(experiment: Experiment, system: VideoModel) -> TrainState:
    """Fresh parameters and optimizer, from the experiment's seed."""
    key, init_key = jax.random.split(jax.random.key(experiment.seed))
    params = system.init(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=transformation(experiment.optim).init(params),
        key=key,
        skipped=jnp.zeros((), jnp.int32),
    )


def gradients(
    system: VideoModel, params: Params, video: Array, keys: Array, *, parts: int
) -> tuple[Params, LossTerms]:
    """Gradient of the mean loss, and mean terms; computed in equal parts to save memory.

    Args:
      system: the model.
      params: of the model.
      video: uint8 [rows, T, H, W, C], or a ``CuedVideo``; rows a multiple of ``parts``.
      keys: one per row.
      parts: number of equal parts, computed one after the other.
    """

    def mean_loss(params: Params, video: Array, keys: Array) -> tuple[Array, LossTerms]:
        terms = system.loss(params, video, keys)
        means = jax.tree.map(lambda x: x.mean(0), terms)
        return means.total, means

    gradient = optax.microbatching.microbatch(
        jax.grad(mean_loss, has_aux=True),
        argnums=(1, 2),
        microbatch_size=len(keys) // parts if parts > 1 else None,
        accumulator=optax.microbatching.AccumulationType.MEAN,
    )
    total: tuple[Params, LossTerms] = gradient(params, video, keys)
    return total


def make_update(experiment: Experiment, system: VideoModel) -> Update:
    """The compiled update of one stage.

    Args:
      experiment: from ``Experiment.at_stage``; its only stage gives the number of parts.
      system: the model of that stage.

    Returns:
      (state, video [devices, rows, T, H, W, C], rows [devices, rows], learning rate)
      → (state, metrics). Metrics are means over the global batch. If the loss or the norm of the
      gradient or of the new parameters is not finite, only ``step`` and ``skipped`` change.
    """
    optimizer = transformation(experiment.optim)
    (stage,) = experiment.train.stages.values()

    def update(
        state: TrainState, video: Array, rows: Array, rate: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        keys = row_keys(jax.random.fold_in(state.key, state.step), rows)

        grads, terms = gradients(system, state.params, video, keys, parts=stage.parts(len(rows)))
        grads, terms = parallel.all_mean((grads, terms))
        norm = optax.tree.norm(grads)
        direction, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, optax.tree.scale(-rate, direction))
        params = system.after_update(params, terms)
        param_norm = optax.tree.norm(params)
        finite = jnp.isfinite(jnp.stack([terms.total, norm, param_norm])).all()
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, opt_state),
            (state.params, state.opt_state),
        )
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            skipped=state.skipped + jnp.where(finite, 0, 1),
        )
        watched = {name: x for name, x in terms._asdict().items() if not isinstance(x, dict)}
        norms = {"grad_norm": norm, "param_norm": param_norm}
        counts = {"skipped": state.skipped, "finite": finite}
        return state, {**watched, **norms, **counts, "learning_rate": rate}

    return parallel.data_parallel(update, batch_args=(1, 2), num_args=4)


class Updates:
    """The updates of a training: stages in a row that differ in rates alone share a program."""

    def __init__(self) -> None:
        self._last: tuple[object, Update] | None = None

    def __call__(self, experiment: Experiment, system: VideoModel) -> Update:
        """The update of a stage; arguments as of ``make_update``."""
        (stage,) = experiment.train.stages.values()
        key = (system, stage.micro_batches, without_rates(experiment.optim))
        if self._last is None or self._last[0] != key:
            self._last = (key, make_update(experiment, system))
        return self._last[1]


def learning_rates(experiment: Experiment) -> np.ndarray:
    """The learning rate of each step of a stage, float32 [steps], for its update.

    Args:
      experiment: from ``Experiment.at_stage``.
    """
    (stage,) = experiment.train.stages.values()
    rates = jax.jit(schedule(experiment.optim, steps=stage.steps))
    return np.asarray(rates(np.arange(stage.steps)), np.float32)
