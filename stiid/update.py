"""One update of the parameters: the state that it carries, and its compiled form."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from stiid import parallel
from stiid.experiment import Experiment
from stiid.optim import transformation
from stiid.shapes import Array, Params
from stiid.state import TrainState
from stiid.system import Loss, System, row_keys

Update = Callable[..., tuple[TrainState, dict[str, Array]]]


def init_state(experiment: Experiment, system: System) -> TrainState:
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


def make_update(experiment: Experiment, system: System) -> Update:
    """The compiled update of one stage.

    Returns:
      (state, video [devices, rows, T, H, W, C], rows [devices, rows], learning rate)
      → (state, metrics), where metrics are means over the global batch, and an update whose loss,
      gradient or new parameters are not finite (in the norm of all) leaves everything but ``step``
      and ``skipped`` as it was.
    """
    optimizer = transformation(experiment.optim)

    def update(
        state: TrainState, video: Array, rows: Array, rate: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        keys = row_keys(jax.random.fold_in(state.key, state.step), rows)

        def mean_loss(params: Params) -> tuple[Array, Loss]:
            terms = system.loss(params, video, keys)
            means = jax.tree.map(lambda x: x.mean(0), terms)
            return means.total, means

        grads, terms = jax.grad(mean_loss, has_aux=True)(state.params)
        grads, terms = parallel.all_mean((grads, terms))
        norm = optax.tree.norm(grads)
        direction, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = jax.tree.map(lambda p, d: p - rate * d, state.params, direction)
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
        metrics = {**watched, "grad_norm": norm, "param_norm": param_norm, "skipped": state.skipped}
        return state, {**metrics, "finite": finite}

    return parallel.data_parallel(update, batch_args=(1, 2), num_args=4)
