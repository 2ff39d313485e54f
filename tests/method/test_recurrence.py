"""The 2D-LSTM, the conditional prior and the refinement network against NumPy float64."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import oracles
import pytest

from stiid.nn.lstm2d import LSTM2D
from stiid.nn.positions import positions
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.shapes import LSTMState

SLOTS, WIDTH = (2, 3), 4
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
REFINER = Refiner(
    latent_size=4,
    features=5,
    layers=2,
    stride=1,
    squeezenet=False,
    pool="none",
    hidden=7,
    lstm_features=WIDTH,
    forget_scale=0.5,
    forget_bias=1.0,
    two_biases=False,
    output_scale=1.0,
    precision="float32",
)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_state(seed):
    return LSTMState(normal(seed, *SLOTS, WIDTH), normal(seed + 1, *SLOTS, WIDTH))


@pytest.fixture
def states():
    """The states of the refinement axis and of the time axis."""
    return random_state(10), random_state(20)


def with_random_biases(params):
    return jax.tree.map(lambda x: x + 0.3 * normal(x.size, *x.shape), params)


# --- 2D-LSTM --------------------------------------------------------------------------------------


def test_a_second_bias_adds_to_the_first(states):
    x = normal(0, *SLOTS, 5)
    one, two = (LSTM2D(WIDTH, 1.0, 1.0, flag) for flag in (False, True))
    params = with_random_biases(two.init(jax.random.key(0), x, *states)["params"])
    biases = params["gates"]["bias"] + params["second_bias"]
    summed = {"gates": {"kernel": params["gates"]["kernel"], "bias": biases}}
    ours = two.apply({"params": params}, x, *states)
    np.testing.assert_allclose(ours, one.apply({"params": summed}, x, *states), **CLOSE)
    assert "second_bias" not in one.init(jax.random.key(0), x, *states)["params"]
    assert np.abs(params["second_bias"]).min() > 1e-3


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_lstm2d_equals_numpy_along_both_axes(states, scale):
    cell, x = LSTM2D(WIDTH, scale, 1.0, False), normal(0, *SLOTS, 5)
    refinement, time = states
    params = with_random_biases(cell.init(jax.random.key(0), x, refinement, time)["params"])
    expected = oracles.float64(tuple(refinement))
    for _ in range(3):  # three refinements of one frame
        refinement = cell.apply({"params": params}, x, refinement, time)
        expected = oracles.lstm2d(oracles.float64(params), x, expected, time, scale=scale)
        np.testing.assert_allclose(refinement.h, expected[0], **CLOSE)
        np.testing.assert_allclose(refinement.c, expected[1], **CLOSE)


def test_lstm2d_without_time_is_flax_lstm(states):
    refinement, _ = states
    x = normal(0, *SLOTS, 5)
    cell = LSTM2D(WIDTH, 0.5, 1.0, False)  # the scale is for two axes only
    params = with_random_biases(cell.init(jax.random.key(0), x, refinement, None)["params"])
    state = cell.apply({"params": params}, x, refinement, None)

    kernels = np.split(np.asarray(params["gates"]["kernel"]), 4, axis=-1)
    biases = np.split(np.asarray(params["gates"]["bias"]), 4)
    flax_params = {}
    for gate, kernel, bias in zip("igof", kernels, biases, strict=True):
        flax_params[f"i{gate}"] = {"kernel": kernel[:5]}
        flax_params[f"h{gate}"] = {"kernel": kernel[5:], "bias": bias}
    carry = (refinement.c, refinement.h)
    (c, h), _ = nn.OptimizedLSTMCell(WIDTH).apply({"params": flax_params}, carry, x)
    np.testing.assert_allclose(state.h, h, **CLOSE)
    np.testing.assert_allclose(state.c, c, **CLOSE)


@pytest.mark.parametrize("axes", [1, 2])
def test_only_forget_gates_start_with_the_forget_bias(states, axes):
    refinement, time = states if axes == 2 else (states[0], None)
    cell = LSTM2D(WIDTH, 1.0, 1.5, False)
    params = cell.init(jax.random.key(0), normal(0, *SLOTS, 5), refinement, time)["params"]
    expected = [0.0] * 3 * WIDTH + [1.5] * axes * WIDTH
    np.testing.assert_array_equal(params["gates"]["bias"], expected)


# --- conditional prior ----------------------------------------------------------------------------


def test_prior_is_an_mlp_that_predicts_mean_and_log_sigma():
    prior, h = ConditionalPrior(latent_size=4, features=5), normal(0, *SLOTS, WIDTH)
    params = with_random_biases(prior.init(jax.random.key(0), h)["params"])
    mean, log_var = prior.apply({"params": params}, h)
    weights = oracles.float64(params)
    out = oracles.dense(weights["out"], oracles.elu(oracles.dense(weights["hidden"], h)))
    np.testing.assert_allclose(mean, out[..., :4], **CLOSE)
    np.testing.assert_allclose(log_var, np.log(np.exp(out[..., 4:]) ** 2), **CLOSE)


# --- refinement network ---------------------------------------------------------------------------


@pytest.mark.parametrize("with_time", [True, False])
@pytest.mark.parametrize(
    ("layers", "stride", "pool"),
    [(2, 1, "average"), (2, 2, "mean"), (2, 2, "none"), (2, 1, "none"), (0, 1, "average")],
)
def test_refiner_equals_numpy(states, layers, stride, pool, with_time):
    refiner = dataclasses.replace(REFINER, layers=layers, stride=stride, pool=pool)
    frame, images, vectors = (
        normal(3, 2, 9, 14, 2),
        normal(1, *SLOTS, 9, 14, 3),
        normal(2, *SLOTS, 6),
    )
    refinement, time = states if with_time else (states[0], None)
    inputs = (frame, images, vectors, refinement, time)
    params = with_random_biases(refiner.init(jax.random.key(0), *inputs)["params"])
    assert ("in" in params) == (layers > 0)
    delta, state = refiner.apply({"params": params}, *inputs)
    grid = np.broadcast_to(positions(9, 14), (*SLOTS, 9, 14, 2))
    repeated = np.broadcast_to(frame[:, None], (*SLOTS, 9, 14, 2))
    side_by_side = np.concatenate([repeated, images, grid], axis=-1)
    expected, expected_state = oracles.refiner(
        refiner,
        oracles.float64(params),
        *map(np.float64, (side_by_side, vectors)),
        refinement,
        time,
    )
    np.testing.assert_allclose(delta.mean, expected[..., :4], **CLOSE)
    np.testing.assert_allclose(delta.log_var, expected[..., 4:], **CLOSE)
    np.testing.assert_allclose(state.h, expected_state[0], **CLOSE)
    np.testing.assert_allclose(state.c, expected_state[1], **CLOSE)


def test_output_scale_multiplies_the_initial_weights_of_the_last_layer_only(states):
    images = normal(3, 2, 8, 8, 2), normal(1, *SLOTS, 8, 8, 3)
    inputs = (*images, normal(2, *SLOTS, 6), *states)
    whole = REFINER.init(jax.random.key(0), *inputs)["params"]
    tenth = dataclasses.replace(REFINER, output_scale=0.1).init(jax.random.key(0), *inputs)
    whole["out"]["kernel"] = 0.1 * whole["out"]["kernel"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), tenth["params"], whole)


def test_squeezenet_needs_color(states):
    images = normal(3, 2, 8, 8, 1), normal(1, *SLOTS, 8, 8, 7)
    inputs = (*images, normal(2, *SLOTS, 6), *states)
    with pytest.raises(ValueError, match=r"refiner.squeezenet needs RGB frames, got 1 channel"):
        dataclasses.replace(REFINER, squeezenet=True).init(jax.random.key(0), *inputs)


def test_squeezenet_needs_convolutions():
    with pytest.raises(ValueError, match=r"refiner.squeezenet needs convolutions"):
        dataclasses.replace(REFINER, squeezenet=True, layers=0)


def test_unknown_pool_is_refused():
    with pytest.raises(ValueError, match=r"refiner.pool: expected one of .*got 'max'"):
        dataclasses.replace(REFINER, pool="max")
