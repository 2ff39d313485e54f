"""Read weights of SqueezeNet 1.1 for the refinement network from torchvision's file."""

import jax
import numpy as np

from stiid.interop import layers
from stiid.interop.layers import State
from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.shapes import Params


def is_squeezenet(state: State) -> bool:
    """Whether a state is torchvision's ``squeezenet1_1`` (its first layer has 64 3×3 filters)."""
    first = state.get("features.0.weight")
    return first is not None and first.shape == (64, 3, 3, 3)


def with_squeezenet(
    state: State, config: SpatioTemporalConfig, image_shape: tuple[int, int, int], key: jax.Array
) -> Params:
    """Initialize a model's parameters, with those of SqueezeNet from a file.

    Args:
      state: torchvision's ``state_dict``; its first convolution and first two fire modules are
        read.
      config: of a model with ``refiner.squeezenet``.
      image_shape: [H, W, C] of the frames.
      key: for all other parameters.

    Raises:
      ValueError: the model has no such features, or a layer is missing.
    """
    if not config.refiner["squeezenet"]:
        raise ValueError(
            "the file holds SqueezeNet, which this model does not use: set "
            "--config.model.refiner.squeezenet=True"
        )
    names = {ours: f"features.{theirs}" for ours, theirs in layers.BACKBONE.items()}
    missing = [name for name in names.values() if f"{name}.weight" not in state]
    if missing:
        raise ValueError(f"not a state_dict of torchvision's squeezenet1_1: missing {missing[:5]}")
    params = jax.tree.map(np.asarray, config.build(image_shape).init(key))
    own = params["refiner"]["squeezenet"]
    params["refiner"]["squeezenet"] = layers.fit(own, own | layers.nested(state, names))
    return params
