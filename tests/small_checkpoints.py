"""Checkpoints of a small state, saved without a model."""

import grain
import jax
import jax.numpy as jnp

from stiid.training.checkpoints import Checkpoints
from stiid.training.state import TrainState

CONFIG = {"train": {"best_metric": "f_ari"}, "lengths": [1, 2]}


def make_state(step, *, width=3):
    return TrainState(
        step=jnp.int32(step),
        params={"layer": {"kernel": jnp.arange(2.0 * width).reshape(2, width) / 7 + step}},
        opt_state=(jnp.float32(step), {"mu": jnp.full((width,), 1e-30)}),
        key=jax.random.key(step),
        skipped=jnp.int32(1),
    )


def make_data():
    return iter(grain.MapDataset.range(100).to_iter_dataset())


def template(**options):
    return jax.eval_shape(lambda: make_state(0, **options))


def save(directory, scores, *, best_metric="f_ari"):
    """Checkpoints 1, 2, … with these F-ARI or scores (None: not evaluated)."""
    checkpoints = Checkpoints(directory, best_metric=best_metric)
    data = make_data()
    for step, score in enumerate(scores, 1):
        next(data)
        checkpoints.save(
            make_state(step),
            data=data,
            progress={"stage": step, "loss": 0.1},
            config={**CONFIG, "train": {"best_metric": best_metric}},
            metrics={"f_ari": score, "mse": -score} if isinstance(score, float) else score,
        )
    checkpoints.close()
