"""Parameters of the PyTorch implementation of IODINE that the paper builds on, as ours.

https://github.com/MichaelKevinKelly/IODINE at c2c22df. What differs between the two:

* arrays: convolutions are (out, in, rows, columns) there and (rows, columns, in, out) here, linear
  layers (out, in) and (in, out);
* the decoder's input channels: coordinates, then z, there; z, then coordinates, here. Both have
  the row coordinate first (there it is called x);
* the pooled picture is flattened channels first there and channels last here;
* the LSTM's gates are in the order i, f, g, o there and i, g, o, f here.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.nn.positions import positions
from stiid.shapes import Params
from stiid.typed_config import to_dict

# What the implementation does whatever its constructor is told, as fields of our config.
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
_FEATURES = "feature_extractor."


def import_params(
    state: Mapping[str, np.ndarray],
    config: SpatioTemporalConfig,
    image_shape: tuple[int, int, int],
) -> Params:
    """Our parameters from a ``state_dict``.

    Args:
      state: tensors by name, see ``torch_file``.
      config: of the same procedure and the same networks.
      image_shape: [H, W, C] of the frames.

    Raises:
      ValueError: the file does not belong to that config; the message says what to change.
    """
    _check_procedure(state, config)
    _check_names(state, config)
    _check_grids(state, image_shape)
    key = jax.random.key(0)
    template = jax.eval_shape(config.build(image_shape).init, key)
    params = {
        "decoder": _decoder(state, template["decoder"]),
        "refiner": _refiner(state, template["refiner"], image_shape),
        "posterior": state["lmbda0"].reshape(-1),
    }
    return jax.tree_util.tree_map_with_path(_fitting, template, params)


def _check_procedure(state: Mapping[str, np.ndarray], config: SpatioTemporalConfig) -> None:
    wanted = PROCEDURE | {
        "inference.refinements": _number(state, "T") - 1,
        "inference.variance": _number(state, "var_x"),
        "objective.beta": _number(state, "b"),
        "num_slots": _number(state, "K"),
        "latent_size": _number(state, "z_dim"),
        "refiner.squeezenet": any(name.startswith(_FEATURES) for name in state),
    }
    fields = {name: _field(to_dict(config), name) for name in wanted}
    wrong = [
        f"--config.model.{name}={_text(value)} (not {_text(fields[name])})"
        for name, value in wanted.items()
        if not _equal(value, fields[name])
    ]
    if wrong:
        raise ValueError(f"the file was saved by another procedure: it needs {', '.join(wrong)}")


def _check_names(state: Mapping[str, np.ndarray], config: SpatioTemporalConfig) -> None:
    known = {"lmbda0", "T", "K", "z_dim", "var_x", "h0", "base_loss", "b"}
    known |= {f"{prefix}{axis}_grid" for prefix in ("", "decoder.") for axis in "xy"}
    known |= {f"refine_net.lstm.{a}_{b}" for a in ("weight", "bias") for b in ("ih", "hh")}
    layers = [*_convolutions("decoder.conv_layer", config.decoder["layers"] + 1)]
    layers += [*_convolutions("refine_net.convnet.model", config.refiner["layers"])]
    layers += ["refine_net.fc_in.0", "refine_net.fc_out"]
    if config.refiner["squeezenet"]:
        layers += _SQUEEZENET.values()
    known |= {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    missing, unknown = sorted(known - state.keys()), sorted(state.keys() - known)
    if missing or unknown:
        raise ValueError(
            f"no state_dict of IODINE with these layers: missing {missing[:5]}, unknown "
            f"{unknown[:5]}. Set model.decoder.layers, model.refiner.layers and "
            "model.refiner.squeezenet to what the file was trained with"
        )


def _check_grids(state: Mapping[str, np.ndarray], image_shape: tuple[int, int, int]) -> None:
    """The coordinate channels are saved too: they must be ours, rows first."""
    rows, columns = np.moveaxis(np.asarray(positions(*image_shape[:2])), -1, 0)
    for name, expected in (("x_grid", rows), ("y_grid", columns)):
        for key in (name, f"decoder.{name}"):
            shape = state[key].shape[-2:]
            if shape != expected.shape:
                raise ValueError(
                    f"the file is for images of {shape}, not {expected.shape}: set "
                    "data.options.resolution, or what the data call it"
                )
            if not np.allclose(state[key].reshape(shape), expected, atol=1e-6):
                raise ValueError(f"{key} has not the coordinates of the implementation's")


def _decoder(state: Mapping[str, np.ndarray], template: Params) -> Params:
    names = ["broadcast", *(f"conv_{i}" for i in range(1, len(template) - 1)), "out"]
    layers = _convolutions("decoder.conv_layer", len(template))
    params = {ours: _layer(state, theirs) for ours, theirs in zip(names, layers, strict=True)}
    params["broadcast"]["kernel"] = np.roll(params["broadcast"]["kernel"], -2, axis=2)
    return params


def _refiner(
    state: Mapping[str, np.ndarray], template: Params, image_shape: tuple[int, int, int]
) -> Params:
    count = sum(name.startswith("conv_") for name in template)
    params: Params = {
        f"conv_{i}": _layer(state, layer)
        for i, layer in enumerate(_convolutions("refine_net.convnet.model", count))
    }
    flat = _layer(state, "refine_net.fc_in.0")
    pooled = (-1, image_shape[0] // 4, image_shape[1] // 4, flat["kernel"].shape[-1])
    channels_last = np.moveaxis(flat["kernel"].reshape(pooled), 0, 2)
    flat["kernel"] = channels_last.reshape(flat["kernel"].shape)
    lstm = {name: state[f"refine_net.lstm.{name}"].T for name in ("weight_ih", "weight_hh")}
    params["in"], params["out"] = flat, _layer(state, "refine_net.fc_out")
    params["lstm"] = {
        "gates": {
            "kernel": _our_gates(np.concatenate([lstm["weight_ih"], lstm["weight_hh"]])),
            "bias": _our_gates(state["refine_net.lstm.bias_ih"]),
        },
        "second_bias": _our_gates(state["refine_net.lstm.bias_hh"]),
    }
    if "squeezenet" in template:
        params["squeezenet"] = {}
        for ours, theirs in _SQUEEZENET.items():
            *block, name = ours.split("/")
            inner = params["squeezenet"].setdefault(block[0], {}) if block else params["squeezenet"]
            inner[name] = _layer(state, theirs)
    return params


_SQUEEZENET = {
    "conv": "feature_extractor.0.0",
    **{
        f"fire_{i}/{name}": f"feature_extractor.0.{3 + i}.{name}"
        for i in range(2)
        for name in ("squeeze", "expand1x1", "expand3x3")
    },
    **{f"head_{i}": f"feature_extractor.{2 * i + 1}" for i in range(3)},
}


def _convolutions(prefix: str, count: int) -> list[str]:
    """Names of layers with an activation after each."""
    return [f"{prefix}.{2 * i}" for i in range(count)]


def _layer(state: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    weight = state[f"{name}.weight"]
    order = (2, 3, 1, 0) if weight.ndim == 4 else (1, 0)
    if weight.ndim != len(order):
        raise ValueError(f"{name}.weight has shape {weight.shape}: neither linear nor convolution")
    return {"kernel": weight.transpose(order), "bias": state[f"{name}.bias"]}


def _our_gates(x: np.ndarray) -> np.ndarray:
    """From the order i, f, g, o along the last axis to i, g, o, f."""
    i, f, g, o = np.split(x, 4, axis=-1)
    return np.concatenate([i, g, o, f], axis=-1)


def _fitting(path: Any, wanted: jax.ShapeDtypeStruct, array: np.ndarray) -> np.ndarray:
    if array.shape != wanted.shape:
        raise ValueError(
            f"params{jax.tree_util.keystr(path)} has shape {array.shape} in the file and "
            f"{wanted.shape} in the config: set its numbers of features to the file's"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"params{jax.tree_util.keystr(path)} is not finite in the file")
    return np.asarray(array, wanted.dtype)


def _number(state: Mapping[str, np.ndarray], name: str) -> Any:
    if name not in state or state[name].shape != ():
        raise ValueError(f"no state_dict of IODINE: it has no number {name!r}")
    return state[name].item()


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return bool(np.isclose(ours, theirs, rtol=1e-6))
    return bool(ours == theirs)


def _field(config: Mapping[str, Any], name: str) -> Any:
    for key in name.split("."):
        config = config[key]
    return config
