"""Oracles: jax.nn.elu, positions worked by hand, the decoder in NumPy float64."""

import jax
import numpy as np
import oracles
import pytest

from stiid.kernels.elu import elu
from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.positions import positions

SLOTS = (2, 3)


@pytest.fixture
def z():
    return np.random.default_rng(0).normal(size=(*SLOTS, 4)).astype(np.float32)


@pytest.fixture
def h():
    return np.random.default_rng(1).normal(size=(*SLOTS, 6)).astype(np.float32)


def make_decoder(*, kernel_size=3, frequencies=(), residual=False, modulated=False):
    return BroadcastDecoder(
        height=6,
        width=9,
        channels=2,
        features=5,
        layers=3,
        kernel_size=kernel_size,
        frequencies=frequencies,
        modulated=modulated,
        mlp_features=7,
        residual=residual,
        precision="float32",
    )


def random_params(module, *inputs):
    """Initial parameters with random biases, which start at zero and would not be seen."""
    params = module.init(jax.random.key(0), *inputs)["params"]
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), params)


# --- ELU ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_elu_and_its_gradient_equal_jax(transform):
    x = np.float32([-200.0, -20.0, -3.0, -1.0, -1e-3, -0.0, 0.0, 1e-3, 0.5, 1.0, 30.0, 200.0])
    np.testing.assert_allclose(transform(elu)(x), jax.nn.elu(x), rtol=1e-6, atol=1e-7)
    slope, expected = (jax.vmap(jax.grad(f)) for f in (elu, jax.nn.elu))
    np.testing.assert_allclose(transform(slope)(x), expected(x), rtol=1e-6, atol=1e-7)


def test_elu_second_derivative_equals_jax():
    x = np.float32([-3.0, -1.0, -0.1, 0.5, 2.0])
    second, expected = (jax.vmap(jax.grad(jax.grad(f))) for f in (elu, jax.nn.elu))
    np.testing.assert_allclose(second(x), expected(x), rtol=1e-5, atol=1e-7)


# --- positions ------------------------------------------------------------------------------------


def test_positions_are_row_then_column_with_end_points():
    grid = np.asarray(positions(3, 5))
    assert grid.shape == (3, 5, 2)
    for column in range(5):
        np.testing.assert_array_equal(grid[:, column, 0], [-1.0, 0.0, 1.0])
    for row in range(3):
        np.testing.assert_array_equal(grid[row, :, 1], [-1.0, -0.5, 0.0, 0.5, 1.0])


def test_fourier_features_are_sines_and_cosines_of_both_coordinates():
    features = np.asarray(positions(3, 5, frequencies=(0.5, 2.0)))
    assert features.shape == (3, 5, 10)
    # Row 2 is at 1, column 1 at −1/2. k = 1/2: sin(π/2), sin(−π/4), cos(π/2), cos(−π/4).
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        features[2, 1],
        [1.0, -0.5, 1.0, -half, 0.0, half, 0.0, 0.0, 1.0, -1.0],  # k = 2: sin 2π, sin −π, cos …
        atol=1e-6,
    )


# --- decoder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_h", [True, False])
@pytest.mark.parametrize(
    ("kernel_size", "residual", "modulated"),
    [(3, False, False), (3, True, False), (3, False, True), (1, True, False), (1, True, True)],
)
def test_decoder_equals_the_full_broadcast_in_numpy(z, h, kernel_size, residual, modulated, with_h):
    module = make_decoder(kernel_size=kernel_size, residual=residual, modulated=modulated)
    h = h if with_h else None
    params = random_params(module, z, h)
    means, logits = module.apply({"params": params}, z, h)
    assert means.shape == (*SLOTS, 6, 9, 2)
    assert logits.shape == (*SLOTS, 6, 9, 1)
    expected = oracles.decoder(module, oracles.float64(params), np.float64(z), oracles.float64(h))
    np.testing.assert_allclose(means, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-5)


def test_decoder_without_h_has_no_mlp_to_train(z, h):
    module = make_decoder()
    mlp = {"mlp_in", "mlp_out"}
    assert mlp <= random_params(module, z, h).keys()
    assert not mlp & random_params(module, z, None).keys()


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match=r"decoder\.kernel_size must be odd, got 4"):
        make_decoder(kernel_size=4)


def test_fourier_features_enter_the_first_convolution(z):
    params = random_params(make_decoder(frequencies=(0.5, 1.0)), z, None)
    assert params["broadcast"]["kernel"].shape == (3, 3, 4 + 2 + 8, 5)
