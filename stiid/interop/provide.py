"""Convert parameters of the authors' own implementation of the paper to ours.

It is https://github.com/BorealisAI/PROVIDE at ad0b9ef; the file is a PyTorch ``state_dict``. For
the differences see ``interop.layers``; besides, the two linear heads of the prior are one layer
here. The gates of the 2D-LSTM have the same order: i, f, o, mixing, g.
"""

from typing import Any

import jax
import numpy as np

from stiid.interop import layers
from stiid.interop.layers import State
from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.shapes import Params

# What the implementation always does, as fields of our config.
PROCEDURE: dict[str, Any] = {
    "inference.grid": "trailing",
    "inference.time_axis": "lstm2d",
    "inference.posterior_start": "learned",
    "inference.first_sample": "clip",
    "inference.simulation_start": "learned",
    "inference.conditional_prior": True,
    "inference.first_prior": "learned",
    "inference.generation": True,
    "inference.mixture": "channel",
    "inference.posterior_mask": "softmax",
    "inference.log_var_range": None,
    "inference.gradient_clamp": None,
    "inference.delta_clamp": None,
    "inference.gradient_skip": 0.0,
    "inference.last_decode": True,
    "decoder.frequencies": [],
    "decoder.modulated": False,
    "decoder.mlp_elu": True,
    "decoder.residual": False,
    "refiner.squeezenet": True,
    "refiner.cell": "mixing",
    "prior.form": "softplus",
    "objective.slot_entropy": 0.0,
    "objective.largest_share": 0.0,
    "objective.step_weights": "shared",
    "objective.num_simulated": 0,
}
_NAME = "PROVIDE"
_LSTM = {"input": "W_x", "time": "W_hor", "refinement": "W_ver"}


def is_provide(state: State) -> bool:
    """Whether a state has the 2D-LSTM of that implementation."""
    return "refine_net.lstm.W_hor.weight" in state


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
    params: Params = {
        "decoder": layers.decoder(state, config.decoder["layers"] + 1),
        "refiner": layers.refiner(state, config.refiner["layers"], image_shape),
        "posterior": state["lmbda0"].reshape(-1),
        "prior": {"hidden": layers.layer(state, "prior.0"), "out": _heads(state)},
    }
    params["decoder"] |= {
        "mlp_in": layers.layer(state, "decoder.pre_mlp.0"),
        "mlp_out": layers.layer(state, "decoder.pre_mlp.2"),
    }
    params["refiner"]["lstm"] = {
        ours: layers.layer(state, f"refine_net.lstm.{theirs}") for ours, theirs in _LSTM.items()
    }
    params["refiner"]["squeezenet"] = layers.nested(state, layers.SQUEEZENET)
    if "beta" in template:
        params["beta"] = np.float32(config.objective.beta)
    return layers.fit(template, params)


def _check_procedure(state: State, config: SpatioTemporalConfig) -> None:
    def number(name: str) -> Any:
        return layers.number(state, name, of=_NAME)

    changing = {
        "inference.refinements": number("T") - 1,
        "inference.variance": number("var_x"),
        "num_slots": number("K"),
        "latent_size": number("z_dim"),
        "decoder.mlp_features": layers.size(state, "decoder.pre_mlp.0.weight", 0),
        "prior.features": layers.size(state, "prior.0.weight", 0),
    }
    known = {name: value for name, value in changing.items() if value is not None}
    layers.check_fields(config, PROCEDURE | known | layers.network_sizes(state))


def _check_names(state: State, config: SpatioTemporalConfig) -> None:
    others = {"lmbda0", "T", "K", "z_dim", "var_x", "h0", "base_loss"}
    others |= {f"{prefix}{axis}_grid" for prefix in ("", "decoder.") for axis in "xy"}
    names = [
        *("decoder.pre_mlp.0", "decoder.pre_mlp.2"),
        *layers.convolutions("decoder.conv_layer", config.decoder["layers"] + 1),
        *layers.convolutions("refine_net.convnet.model", config.refiner["layers"]),
        *("refine_net.fc_in.0", "refine_net.fc_out"),
        *(f"refine_net.lstm.{name}" for name in _LSTM.values()),
        *layers.SQUEEZENET.values(),
        *("prior.0", "prior_mean", "prior_var.0"),
    ]
    layers.check_names(state, names, others, of=_NAME)


def _heads(state: State) -> dict[str, np.ndarray]:
    """Join the two linear layers of the same input."""
    mean, log_var = layers.layer(state, "prior_mean"), layers.layer(state, "prior_var.0")
    return {name: np.concatenate([mean[name], log_var[name]], axis=-1) for name in mean}
