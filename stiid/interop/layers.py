"""Shared parts of the importers of PyTorch files: layers by name, and checks against a config.

Layouts differ. Convolutions are (out, in, rows, columns) in PyTorch and (rows, columns, in, out)
here; linear layers are (out, in) and (in, out). The pooled image is flattened channels first there
and channels last here. A decoder's input channels are (coordinates, z) there and (z, coordinates)
here; both have the row coordinate first (there it is called x).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from stiid.models.spatiotemporal.config import SpatioTemporalConfig
from stiid.nn.positions import positions
from stiid.shapes import Params
from stiid.typed_config import to_dict

State = Mapping[str, np.ndarray]

# Our layers of ``nn.squeezenet`` → those of the files, within "feature_extractor".
BACKBONE = {
    "conv": "0",
    **{
        f"fire_{i}/{name}": f"{3 + i}.{name}"
        for i in range(2)
        for name in ("squeeze", "expand1x1", "expand3x3")
    },
}
SQUEEZENET = {
    **{ours: f"feature_extractor.0.{theirs}" for ours, theirs in BACKBONE.items()},
    **{f"head_{i}": f"feature_extractor.{2 * i + 1}" for i in range(3)},
}


def without_module(state: State) -> State:
    """Remove the prefix "module." that DataParallel adds to all names."""
    prefix = "module."
    if not state or not all(name.startswith(prefix) for name in state):
        return state
    return {name.removeprefix(prefix): array for name, array in state.items()}


def convolutions(prefix: str, count: int) -> list[str]:
    """Names of convolutions, each of which is followed by an activation."""
    return [f"{prefix}.{2 * i}" for i in range(count)]


def layer(state: State, name: str) -> dict[str, np.ndarray]:
    """Convert a layer to ours: {"kernel", "bias"}."""
    weight = state[f"{name}.weight"]
    order = (2, 3, 1, 0) if weight.ndim == 4 else (1, 0)
    if weight.ndim != len(order):
        raise ValueError(f"{name}.weight has shape {weight.shape}: neither linear nor convolution")
    return {"kernel": weight.transpose(order), "bias": state[f"{name}.bias"]}


def decoder(state: State, convs: int) -> Params:
    """Convert the ``convs`` convolutions of a broadcast decoder."""
    names = ["broadcast", *(f"conv_{i}" for i in range(1, convs - 1)), "out"]
    layers = convolutions("decoder.conv_layer", convs)
    params = {ours: layer(state, theirs) for ours, theirs in zip(names, layers, strict=True)}
    params["broadcast"]["kernel"] = np.roll(params["broadcast"]["kernel"], -2, axis=2)
    return params


def refiner(state: State, convs: int, image_shape: tuple[int, int, int]) -> Params:
    """Convert a refinement network, except its LSTM."""
    params: Params = {
        f"conv_{i}": layer(state, name)
        for i, name in enumerate(convolutions("refine_net.convnet.model", convs))
    }
    flat = layer(state, "refine_net.fc_in.0")
    pooled = (-1, image_shape[0] // 4, image_shape[1] // 4, flat["kernel"].shape[-1])
    channels_last = np.moveaxis(flat["kernel"].reshape(pooled), 0, 2)
    flat["kernel"] = channels_last.reshape(flat["kernel"].shape)
    return params | {"in": flat, "out": layer(state, "refine_net.fc_out")}


def nested(state: State, names: Mapping[str, str]) -> Params:
    """Convert layers, nested by our names, in which "/" separates the levels."""
    params: Params = {}
    for ours, theirs in names.items():
        *block, name = ours.split("/")
        inner = params.setdefault(block[0], {}) if block else params
        inner[name] = layer(state, theirs)
    return params


def network_sizes(state: State) -> dict[str, int]:
    """Sizes of a file's networks, as fields of our config."""
    sizes = {
        "decoder.layers": _count(state, "decoder.conv_layer") - 1,
        "decoder.features": size(state, "decoder.conv_layer.0.weight", 0),
        "decoder.kernel_size": size(state, "decoder.conv_layer.0.weight", -1),
        "refiner.layers": _count(state, "refine_net.convnet.model"),
        "refiner.features": size(state, "refine_net.convnet.model.0.weight", 0),
        "refiner.hidden": size(state, "refine_net.fc_in.0.weight", 0),
        "refiner.lstm_features": size(state, "refine_net.fc_out.weight", -1),
    }
    return {name: number for name, number in sizes.items() if number is not None}


def size(state: State, name: str, axis: int) -> int | None:
    """Size of a weight along an axis; None if it is missing, which other checks report."""
    return state[name].shape[axis] if name in state and state[name].ndim > 1 else None


def _count(state: State, prefix: str) -> int:
    """Number of layers below a name."""
    return sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in state)


def check_fields(config: SpatioTemporalConfig, wanted: Mapping[str, Any]) -> None:
    """Compare fields of a config, named with dots, with those that a file needs.

    Raises:
      ValueError: some differ; the message has the flags that correct them.
    """
    fields = to_dict(config)
    wrong = [
        f"--config.model.{name}={_text(value)} (not {_text(_field(fields, name))})"
        for name, value in wanted.items()
        if not _equal(value, _field(fields, name))
    ]
    if wrong:
        raise ValueError(f"the file was saved by another procedure: it needs {', '.join(wrong)}")


def check_names(state: State, layers: Iterable[str], others: Iterable[str], *, of: str) -> None:
    """Check that a state has exactly these layers, with weight and bias, and these others."""
    known = set(others) | {f"{name}.{kind}" for name in layers for kind in ("weight", "bias")}
    missing, unknown = sorted(known - state.keys()), sorted(state.keys() - known)
    if missing or unknown:
        raise ValueError(
            f"not a state_dict of {of} with these layers: missing {missing[:5]}, unknown "
            f"{unknown[:5]}. Set model.decoder.layers, model.refiner.layers and "
            "model.refiner.squeezenet to what the file was trained with"
        )


def check_grids(state: State, image_shape: tuple[int, int, int]) -> None:
    """Check that the coordinate channels, which are saved too, are ours: rows first."""
    rows, columns = np.moveaxis(np.asarray(positions(*image_shape[:2])), -1, 0)
    for name, expected in (("x_grid", rows), ("y_grid", columns)):
        for key in (name, f"decoder.{name}"):
            shape = state[key].shape[-2:]
            if shape != expected.shape:
                raise ValueError(
                    f"the file is for images of {shape}, not {expected.shape}: set "
                    "data.options.resolution, or the options of that data source for the size"
                )
            if not np.allclose(state[key].reshape(shape), expected, atol=1e-6):
                raise ValueError(f"{key} differs from the coordinates of that implementation")


def number(state: State, name: str, *, of: str) -> Any:
    """Read a single number from a state."""
    if name not in state or state[name].shape != ():
        raise ValueError(f"not a state_dict of {of}: it has no number {name!r}")
    return state[name].item()


def fit(template: Params, params: Params) -> Params:
    """Convert parameters to the types of a template.

    Raises:
      ValueError: a shape differs, or a number is not finite; the message names the parameter.
    """
    return jax.tree_util.tree_map_with_path(_fitting, template, params)


def _fitting(path: Any, wanted: jax.ShapeDtypeStruct, array: np.ndarray) -> np.ndarray:
    if array.shape != wanted.shape:
        raise ValueError(
            f"params{jax.tree_util.keystr(path)} has shape {array.shape} in the file and "
            f"{wanted.shape} in the config: set its numbers of features to the file's"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"params{jax.tree_util.keystr(path)} is not finite in the file")
    return np.asarray(array, wanted.dtype)


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
