"""Convert parameters of the PyTorch implementation of IODINE that the paper builds on to ours.

It is https://github.com/MichaelKevinKelly/IODINE at c2c22df. For the differences see
``interop.layers``; besides, the LSTM's gates have the order i, f, g, o there and i, g, o, f here.
"""

import jax
import numpy as np

from stiid.interop import layers
from stiid.interop.layers import State
from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.shapes import Params

# What the implementation always does, as fields of our config.
PROCEDURE = {
    "inference.grid": "full",
    "inference.time_axis": "none",
    "inference.conditional_prior": False,
    "inference.generation": False,
    "inference.mixture": "channel",
    "inference.posterior_mask": "softmax",
    "inference.log_var_range": None,
    "inference.gradient_clamp": None,
    "inference.delta_clamp": None,
    "inference.gradient_skip": 0.0,
    "inference.last_decode": True,
    "decoder.frequencies": [],
    "decoder.modulated": False,
    "refiner.two_biases": True,
    "objective.psi": 1.0,
    "objective.gamma": 0.0,
    "objective.slot_entropy": 0.0,
    "objective.largest_share": 0.0,
    "objective.step_weights": "linear",
    "objective.num_simulated": 0,
}
_NAME = "IODINE"


def import_params(
    state: State, config: SpatioTemporalConfig, image_shape: tuple[int, int, int]
) -> Params:
    """Convert a ``state_dict`` to our parameters.

    Args:
      state: tensors by name, see ``torch_file``.
      config: must have the same procedure and the same networks.
      image_shape: [H, W, C] of the frames.

    Raises:
      ValueError: the file does not belong to that config; the message says what to change.
    """
    _check_procedure(state, config)
    _check_names(state, config)
    layers.check_grids(state, image_shape)
    template = jax.eval_shape(config.build(image_shape).init, jax.random.key(0))
    params = {
        "decoder": layers.decoder(state, config.decoder["layers"] + 1),
        "refiner": layers.refiner(state, config.refiner["layers"], image_shape),
        "posterior": state["lmbda0"].reshape(-1),
    }
    params["refiner"]["lstm"] = _lstm(state)
    if config.refiner["squeezenet"]:
        params["refiner"]["squeezenet"] = layers.nested(state, layers.SQUEEZENET)
    return layers.fit(template, params)


def _check_procedure(state: State, config: SpatioTemporalConfig) -> None:
    def number(name: str) -> float:
        return layers.number(state, name, of=_NAME)

    changing = {
        "inference.refinements": number("T") - 1,
        "inference.variance": number("var_x"),
        "objective.beta": number("b"),
        "num_slots": number("K"),
        "latent_size": number("z_dim"),
        "refiner.squeezenet": any(name.startswith("feature_extractor.") for name in state),
    }
    layers.check_fields(config, PROCEDURE | changing | layers.network_sizes(state))


def _check_names(state: State, config: SpatioTemporalConfig) -> None:
    others = {"lmbda0", "T", "K", "z_dim", "var_x", "h0", "base_loss", "b"}
    others |= {f"{prefix}{axis}_grid" for prefix in ("", "decoder.") for axis in "xy"}
    others |= {f"refine_net.lstm.{a}_{b}" for a in ("weight", "bias") for b in ("ih", "hh")}
    names = [
        *layers.convolutions("decoder.conv_layer", config.decoder["layers"] + 1),
        *layers.convolutions("refine_net.convnet.model", config.refiner["layers"]),
        *("refine_net.fc_in.0", "refine_net.fc_out"),
        *(layers.SQUEEZENET.values() if config.refiner["squeezenet"] else ()),
    ]
    layers.check_names(state, names, others, of=_NAME)


def _lstm(state: State) -> Params:
    lstm = {name: state[f"refine_net.lstm.{name}"].T for name in ("weight_ih", "weight_hh")}
    return {
        "gates": {
            "kernel": _our_gates(np.concatenate([lstm["weight_ih"], lstm["weight_hh"]])),
            "bias": _our_gates(state["refine_net.lstm.bias_ih"]),
        },
        "second_bias": _our_gates(state["refine_net.lstm.bias_hh"]),
    }


def _our_gates(x: np.ndarray) -> np.ndarray:
    """Reorder gates along the last axis from i, f, g, o to i, g, o, f."""
    i, f, g, o = np.split(x, 4, axis=-1)
    return np.concatenate([i, g, o, f], axis=-1)
