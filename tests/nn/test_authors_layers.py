"""The layers of the authors' code against NumPy float64."""

import jax
import numpy as np
import oracles
import pytest

from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.lstm2d import MixingLSTM2D
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.shapes import LSTMState

SLOTS, WIDTH = (2, 3), 4
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_params(module, *inputs):
    params = module.init(jax.random.key(0), *inputs)["params"]
    return jax.tree.map(lambda x: x + 0.3 * normal(x.size, *x.shape), params)


def random_state(seed):
    return LSTMState(normal(seed, *SLOTS, WIDTH), normal(seed + 1, *SLOTS, WIDTH))


def test_mixing_lstm_equals_numpy():
    cell, x = MixingLSTM2D(WIDTH), normal(0, *SLOTS, 5)
    refinement, time = random_state(10), random_state(20)
    params = random_params(cell, x, refinement, time)
    h, c = cell.apply({"params": params}, x, refinement, time)
    inputs = {"input": x, "time": time.h, "refinement": refinement.h}
    gates = sum(oracles.dense(oracles.float64(params)[name], v) for name, v in inputs.items())
    i, f, o, mixing, g = np.split(gates, 5, -1)
    i, f, o, mixing = map(oracles.sigmoid, (i, f, o, mixing))
    expected = f * (mixing * time.c + (1 - mixing) * refinement.c) + i * np.tanh(g)
    np.testing.assert_allclose(c, expected, **CLOSE)
    np.testing.assert_allclose(h, o * np.tanh(expected), **CLOSE)


def test_the_state_of_the_mixing_lstm_cannot_grow_beyond_its_inputs():
    """|c| ≤ max(|c_time|, |c_ref|) + 1, whatever the gates; Graves' sum has no such bound."""
    cell, x = MixingLSTM2D(WIDTH), 30 * normal(0, *SLOTS, 5)
    refinement, time = (LSTMState(s.h, 9 * s.c) for s in (random_state(10), random_state(20)))
    params = random_params(cell, x, refinement, time)
    c = cell.apply({"params": params}, x, refinement, time).c
    assert (np.abs(c) <= np.maximum(np.abs(refinement.c), np.abs(time.c)) + 1).all()


def test_softplus_prior_equals_numpy():
    prior, h = ConditionalPrior(latent_size=4, features=5, form="softplus"), normal(0, *SLOTS, 6)
    params = random_params(prior, h)
    mean, log_var = prior.apply({"params": params}, h)
    weights = oracles.float64(params)
    out = oracles.dense(weights["out"], np.maximum(oracles.dense(weights["hidden"], h), 0))
    np.testing.assert_allclose(mean, out[..., :4], **CLOSE)
    np.testing.assert_allclose(log_var, np.log1p(np.exp(out[..., 4:])), **CLOSE)


def test_elu_after_the_second_layer_of_the_mlp():
    """It decodes as a decoder without the MLP does the vector behind the ELU."""
    sizes = {"height": 6, "width": 5, "channels": 3, "features": 4, "layers": 1}
    decoder = BroadcastDecoder(**sizes, mlp_features=4, mlp_elu=True)
    z, h = normal(0, *SLOTS, 4), normal(1, *SLOTS, 6)
    params = random_params(decoder, z, h)
    weights = oracles.float64(params)
    mixed = oracles.elu(oracles.dense(weights["mlp_in"], np.concatenate([z, h], -1)))
    mixed = oracles.elu(oracles.dense(weights["mlp_out"], mixed)).astype(np.float32)
    rest = {name: layer for name, layer in params.items() if not name.startswith("mlp")}
    expected = BroadcastDecoder(**sizes).apply({"params": rest}, mixed, None)
    ours = decoder.apply({"params": params}, z, h)
    np.testing.assert_allclose(ours.means, expected.means, **CLOSE)
    np.testing.assert_allclose(ours.logits, expected.logits, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "squeezenet"), [(64, False), (8, True)])
def test_inputs_convolved_beforehand_are_those_of_the_refiner(size, squeezenet):
    refiner = Refiner(
        latent_size=4, features=5, layers=1, squeezenet=squeezenet, lstm_features=WIDTH
    )
    frame, images = normal(3, 2, size, size, 3), normal(1, *SLOTS, size, size, 7)
    inputs = (frame, images, normal(2, *SLOTS, 6), random_state(10), random_state(20))
    params = jax.tree.map(lambda x: 0.3 * x, random_params(refiner, *inputs))
    assert params["conv_0"]["kernel"].shape == (3, 3, 28 if squeezenet else 12, 5)
    shared = refiner.frame_inputs(params, frame)
    assert shared.shape == (2, size, size, 5)
    one, two = (
        refiner.apply({"params": params}, *inputs, given)[0].mean for given in (None, shared)
    )
    np.testing.assert_allclose(one, two, **CLOSE)
    other = refiner.apply({"params": params}, *inputs, shared + 1)[0].mean
    assert np.abs(other - two).max() > 1e-3


@pytest.mark.parametrize(("size", "layers"), [(32, 1), (64, 0)])
def test_small_images_and_vectors_alone_are_not_convolved_beforehand(size, layers):
    refiner = Refiner(latent_size=4, layers=layers)
    assert refiner.frame_inputs({}, np.zeros((1, size, size, 3), np.float32)) is None


@pytest.mark.parametrize(
    ("module", "fields", "message"),
    [
        (ConditionalPrior, {"form": "tanh"}, r"prior.form: expected one of .*got 'tanh'"),
        (Refiner, {"cell": "gru"}, r"refiner.cell: expected one of .*got 'gru'"),
    ],
)
def test_unknown_kinds_are_rejected(module, fields, message):
    with pytest.raises(ValueError, match=message):
        module(latent_size=4, **fields)
