"""Updates on the visible devices, whose results their number must not change."""

import dataclasses

import jax
import numpy as np

from stiid import parallel
from stiid.training.update import init_state, learning_rates, make_update

SHAPE = (8, 8, 3)


def three_updates(experiment, *, seed=0):
    """Parameters and moments, and losses, of three updates on the visible devices.

    At the paper's learning rate: Adam turns the rounding of a gradient that is nearly zero into a
    step of any size up to it. The moments, which know the gradient's size, are held as tightly.
    """
    experiment = dataclasses.replace(experiment, seed=seed).at_stage("stage_0")
    system = experiment.model.build(SHAPE)
    state = parallel.replicate(jax.jit(lambda: init_state(experiment, system))())
    update = make_update(experiment, system)
    video = np.random.default_rng(0).integers(0, 256, (8, 2, *SHAPE), np.uint8)
    rows = parallel.shard(parallel.global_rows(8))
    rate = learning_rates(experiment)[0]
    losses = []
    for _ in range(3):
        state, metrics = update(state, parallel.shard(video), rows, rate)
        losses.append(float(metrics["total"]))
    return jax.device_get((state.params, state.opt_state)), losses
