"""Networks of R-NEM. Oracle: NumPy in float64, written from the specification."""

import dataclasses

import jax
import numpy as np
import pytest
from jax import lax
from rnem_case import PAPER, B, K, S, frames, random_like, sigmoid

from stiid.kernels.upsample import UpsampleConv
from stiid.models.rnem.networks import Decoder, Encoder, PlainCell, RelationalCell

pytestmark = pytest.mark.usefixtures("quick_compilation")


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def params_of(module, *inputs):
    return random_like(jax.eval_shape(module.init, jax.random.key(0), *inputs))


def numpy_layer_norm(x, params, axes):
    x = np.asarray(x, np.float64)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * params["scale"] + params["bias"]


def numpy_dense(x, params):
    return np.asarray(x, np.float64) @ params["kernel"] + params["bias"]


def relu(x):
    return np.maximum(x, 0.0)


@pytest.mark.parametrize(
    ("cell", "recurrent"),
    # 531,401: baselines.md. Without attention it lacks 250·100 + 100 + 2·100 and 100 + 1 of the
    # attention network. RNN-EM: (512 + 250)·250 + 250 and a layer norm of 2·250.
    [("r_nem", 531_401), ("r_nem_no_attention", 531_401 - 25_401), ("rnn_em", 191_250)],
)
@pytest.mark.parametrize("num_slots", [5, 8])
def test_number_of_parameters(cell, recurrent, num_slots):
    config = dataclasses.replace(PAPER, cell=cell, num_slots=num_slots)
    params = jax.eval_shape(config.build((64, 64, 1)).init, jax.random.key(0))
    parts = {name: count(tree) for name, tree in params.items()}
    assert parts == {"encoder": 2_140_240, "cell": recurrent, "decoder": 2_280_337}
    if cell == "r_nem":
        assert count(params) == 4_951_978


def test_upsampling_convolution_is_repetition_then_convolution():
    """TF's SAME for a kernel of 4 pads one zero before and two behind."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5, 2)).astype(np.float32)
    layer = UpsampleConv(3)
    params = params_of(layer, x)
    large = x.repeat(2, axis=1).repeat(2, axis=2)
    expected = lax.conv_general_dilated(
        large,
        params["params"]["kernel"],
        (1, 1),
        [(1, 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    actual = jax.jit(layer.apply)(params, x)
    expected = np.asarray(expected) + params["params"]["bias"]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_encoder_normalizes_rows_columns_and_channels_together():
    module, x = Encoder((2,), 3), frames()[0]
    params = params_of(module, x)["params"]
    kernel = params["Conv_0"]["kernel"]
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = np.zeros((B, S // 2, S // 2, 2))
    for i in range(S // 2):
        for j in range(S // 2):
            patch = padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            maps[:, i, j] = np.einsum("bijc,ijco->bo", patch, kernel)
    maps += params["Conv_0"]["bias"]
    maps = numpy_layer_norm(maps, params["LayerNorm_0"], (1, 2, 3))
    elu = lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))  # noqa: E731
    code = numpy_dense(elu(maps).reshape(B, -1), params["Dense_0"])
    expected = elu(numpy_layer_norm(code, params["LayerNorm_1"], -1))
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-4)


@pytest.mark.parametrize("attention", [4, None])
def test_relational_cell(attention):
    """Pair by pair: no pair with itself, sigmoid attention without soft-max, sum over others."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(B, K, 6)).astype(np.float32)
    hidden = rng.normal(size=(B, K, 5)).astype(np.float32)
    module = RelationalCell(5, attention)
    params = params_of(module, inputs, hidden)["params"]

    def layer(x, i):
        return numpy_layer_norm(numpy_dense(x, params[f"Dense_{i}"]), params[f"LayerNorm_{i}"], -1)

    last = 5 if attention else 3
    encoded = relu(layer(hidden, 0))
    effects = np.zeros((B, K, 5))
    for k in range(K):
        for i in set(range(K)) - {k}:
            core = relu(layer(np.concatenate([encoded[:, k], encoded[:, i]], -1), 1))
            effect = relu(layer(core, 2))
            if attention:
                effect = effect * sigmoid(numpy_dense(np.tanh(layer(core, 3)), params["Dense_4"]))
            effects[:, k] += effect
    total = np.concatenate([encoded, effects, inputs], -1)
    state = numpy_dense(total, params[f"Dense_{last}"])
    norm = params["LayerNorm_4" if attention else "LayerNorm_3"]
    output, following = module.apply({"params": params}, inputs, hidden)
    np.testing.assert_allclose(output, sigmoid(numpy_layer_norm(state, norm, -1)), atol=1e-4)
    np.testing.assert_allclose(following, sigmoid(state), atol=1e-5)  # without the layer norm


def test_plain_cell_keeps_slots_apart():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(B, K, 6)).astype(np.float32)
    hidden = rng.normal(size=(B, K, 5)).astype(np.float32)
    module = PlainCell(5)
    params = params_of(module, inputs, hidden)["params"]
    state = numpy_dense(np.concatenate([inputs, hidden], -1), params["Dense_0"])
    output, following = module.apply({"params": params}, inputs, hidden)
    np.testing.assert_allclose(following, sigmoid(state), atol=1e-5)
    expected = sigmoid(numpy_layer_norm(state, params["LayerNorm_0"], -1))
    np.testing.assert_allclose(output, expected, atol=1e-4)


def test_decoder_ends_in_a_sigmoid_without_layer_norm():
    module = Decoder(S, S, 1, (2, 3), 6)
    params = params_of(module, np.zeros((1, 5), np.float32))["params"]
    assert {name for name in params if name.startswith("LayerNorm")} == {
        "LayerNorm_0",
        "LayerNorm_1",
        "LayerNorm_2",
    }
    params["UpsampleConv_1"] = jax.tree.map(np.zeros_like, params["UpsampleConv_1"])
    params["UpsampleConv_1"]["bias"] += 2.0
    z = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_allclose(module.apply({"params": params}, z), sigmoid(2.0), rtol=1e-6)
