"""What a training step carries: arrays only."""

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
