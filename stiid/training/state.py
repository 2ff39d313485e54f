"""The state of a training: arrays only, and the form in which they are stored."""

import dataclasses

import jax
import numpy as np
from flax import struct

from stiid.shapes import Array, Params


@struct.dataclass
class TrainState:
    """The state that is trained, checkpointed, and identical on every device."""

    step: Array  # int32, updates tried so far
    params: Params
    opt_state: Params
    key: Array  # root of all randomness of training; never changes
    skipped: Array  # int32, updates refused because something was not finite


def storable(state: TrainState) -> TrainState:
    """The state with its key as plain numbers, on the host (process 0 writes it)."""
    if isinstance(state.key, jax.ShapeDtypeStruct):
        return dataclasses.replace(state, key=jax.eval_shape(jax.random.key_data, state.key))
    plain = dataclasses.replace(state, key=jax.random.key_data(state.key))
    return jax.tree.map(np.asarray, plain)
