"""Networks of DDPAE. Oracle: NumPy in float64, written from the specification."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ddpae_case import BALLS, B, N, T, count, random_like
from scipy.ndimage import map_coordinates

from stiid.models.ddpae import procedure, transformer
from stiid.models.ddpae.networks import LSTM, ImageDecoder, ImageEncoder

pytestmark = pytest.mark.usefixtures("quick_compilation")


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


@pytest.mark.parametrize(
    # 1,807,420: baselines.md. Independent components lack 4·128·128 weights of the prediction.
    ("independent", "expected"),
    [(False, 1_807_420), (True, 1_807_420 - 65_536)],
)
def test_number_of_parameters(independent, expected):
    config = dataclasses.replace(BALLS, independent=independent)
    params = jax.eval_shape(config.build((128, 128, 1)).init, jax.random.key(0))
    statistics = params.pop("statistics")
    assert count(params) == expected
    # Mean and variance of the batch norms: 16 + 32 + 64 + 128, 16 + 32 + 64, 64 + 32 + 16 + 8.
    assert count(statistics) == 2 * (240 + 112 + 120)


@pytest.mark.parametrize("size", [5, 9])
def test_the_transformer_samples_bilinearly_with_corners_aligned(size):
    """SciPy interpolates at the same places; outside both are black."""
    rng = np.random.default_rng(0)
    images, pose = rng.random((6, 8, 7, 2)), rng.normal(size=(6, 3)) * 0.5
    pose[:, 0] = [0.5, 1.0, 1.7, 3.0, 4.0, 5.0]
    grid = np.linspace(-1, 1, size)
    for convert, sampler in (
        (lambda s, x: (s, x), transformer.place),
        (lambda s, x: (1 / s, -x / s), transformer.crop),
    ):
        actual = sampler(jnp.asarray(images), jnp.asarray(pose), size=size)
        for image, (s, x, y), ours in zip(images, pose, actual, strict=True):
            (scale, dx), (_, dy) = convert(s, x), convert(s, y)
            rows = (scale * grid + dy + 1) / 2 * (8 - 1)
            columns = (scale * grid + dx + 1) / 2 * (7 - 1)
            places = np.meshgrid(rows, columns, indexing="ij")
            padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
            places = [np.clip(p + 1, 0, n + 1) for p, n in zip(places, image.shape, strict=False)]
            expected = np.stack(
                [map_coordinates(padded[..., c], places, order=1) for c in range(2)], axis=-1
            )
            np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_placed_component_is_where_its_center_says_and_crops_back():
    pose = jnp.array([4.0, 1.2, -2.0])
    patch = np.zeros((33, 33, 1))
    patch[13:20, 13:20] = 1.0
    frame = np.asarray(transformer.place(jnp.asarray(patch), pose, size=129))[..., 0]
    rows, columns = (np.average(np.arange(129), weights=frame.sum(axis)) for axis in (1, 0))
    np.testing.assert_allclose(transformer.center(pose), [columns / 128, rows / 128], atol=1e-3)
    # By the formula of the original: (−x / s + 1) / 2.
    np.testing.assert_allclose(transformer.center(pose), [0.35, 0.75], atol=1e-6)
    back = transformer.crop(jnp.asarray(frame)[..., None], pose, size=33)
    np.testing.assert_allclose(back, patch, atol=0.2)  # the edges are interpolated twice
    np.testing.assert_allclose(back[14:19, 14:19], 1.0, atol=1e-5)


def test_pose_is_the_initial_one_plus_all_changes_within_bounds():
    rng = np.random.default_rng(1)
    changes, initial = rng.normal(size=(B, T, N, 3)), rng.normal(size=(B, N, 3))
    initial[..., 0] += 4.0
    actual = procedure.poses(jnp.asarray(changes), jnp.asarray(initial), scale=4.0)
    for b, t, n in itertools.product(range(B), range(T), range(N)):
        free = initial[b, n] + changes[b, : t + 1, n].sum(0)  # the first frame's change counts
        scale = min(max(free[0], 3.0), 5.0)
        expected = [scale, *(np.tanh(free[1:]) * (scale - 0.5))]
        np.testing.assert_allclose(actual[b, t, n], expected, atol=1e-5)


def toy_lstm(inputs, state):
    """Something simple that depends on everything; H = 2."""
    h, c = state
    c = 0.5 * c + jnp.tanh(inputs).reshape(len(inputs), -1, 2).sum(1)
    return jnp.tanh(c + 0.3 * h), c


@pytest.mark.parametrize("chain", [True, False])
def test_recurrence_over_frames_and_components(chain):
    """Component after component; in each, frame after frame, with the state of the one before."""
    codes = np.random.default_rng(2).normal(size=(B, 3, 4)).astype(np.float32)
    states, last = procedure.read_frames(toy_lstm, jnp.asarray(codes), num_components=N, hidden=2)
    future = procedure.foresee(toy_lstm, last, num_predicted=2, chain=chain)
    zeros = np.zeros((B, 2), np.float32)
    before, before_future = [zeros] * 3, [zeros] * 2
    for n in range(N):
        state = (zeros, zeros)  # starts anew
        for t in range(3):
            state = toy_lstm(np.concatenate([codes[:, t], before[t]], -1), state)
            before[t] = state[0]
            np.testing.assert_allclose(states[n, t], state[0], atol=1e-6)
        np.testing.assert_allclose(last[1][n], state[1], atol=1e-6)
        for t in range(2):
            neighbor = [before_future[t]] if chain else []
            state = toy_lstm(np.concatenate([state[0], *neighbor], -1), state)
            before_future[t] = state[0]
            np.testing.assert_allclose(future[n, t], state[0], atol=1e-6)


def test_lstm_is_that_of_pytorch():
    """Gates i, f, g, o from x W + b + h U + b'; both biases count."""
    rng = np.random.default_rng(3)
    x, h, c = (rng.normal(size=(B, n)).astype(np.float32) for n in (5, 4, 4))
    module = LSTM(4)
    params = random_like(jax.eval_shape(module.init, jax.random.key(0), x, (h, c)))["params"]
    linear = sum(
        np.asarray(v, np.float64) @ params[name]["kernel"] + params[name]["bias"]
        for v, name in ((x, "input"), (h, "hidden"))
    )
    i, f, g, o = np.split(linear, 4, axis=-1)
    cell = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    actual = module.apply({"params": params}, x, (h, c))
    np.testing.assert_allclose(actual[0], sigmoid(o) * np.tanh(cell), atol=1e-5)
    np.testing.assert_allclose(actual[1], cell, atol=1e-5)
    start = module.init(jax.random.key(0), x, (h, c))["params"]
    for leaf in jax.tree.leaves(start):  # U(−1/√H, 1/√H)
        assert np.abs(leaf).max() <= 0.5
        assert leaf.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.35)


def test_encoder_layers():
    """No batch norm on the first and the last layer, no biases, N(0, 0.02) weights."""
    variables = jax.eval_shape(
        lambda x: ImageEncoder(8, 128).init(jax.random.key(0), x, train=False),
        jnp.zeros((1, 64, 64, 1)),
    )
    shapes = jax.tree.map(lambda x: x.shape, variables["params"])
    assert {k: v for k, v in shapes.items() if k.startswith("kernel")} == {
        "kernel_0": (4, 4, 1, 8),
        "kernel_1": (4, 4, 8, 16),
        "kernel_2": (4, 4, 16, 32),
        "kernel_3": (4, 4, 32, 64),
    }
    assert shapes["Dense_0"] == {"kernel": (4 * 4 * 64, 128)}
    assert [shapes[f"BatchNorm_{i}"]["scale"] for i in range(3)] == [(16,), (32,), (64,)]
    assert "BatchNorm_3" not in shapes


def test_encoder_values():
    """One strided convolution, leaky, and a product: by hand."""
    x = np.random.default_rng(4).normal(size=(2, 8, 8, 1)).astype(np.float32)
    module = ImageEncoder(2, 3)
    variables = module.init(jax.random.key(0), x, train=False)
    params = random_like(variables["params"])
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = np.zeros((2, 4, 4, 2))
    for i, j in itertools.product(range(4), repeat=2):
        patch = padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
        maps[:, i, j] = np.einsum("bijc,ijco->bo", patch, params["kernel_0"])
    maps = np.where(maps > 0, maps, 0.2 * maps)
    expected = maps.reshape(2, -1) @ params["Dense_0"]["kernel"]
    actual = module.apply({"params": params}, x, train=False)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_decoder_values_and_batch_norm():
    """A transposed convolution writes each input pixel as a kernel with stride 2."""
    z = np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)
    module = ImageDecoder(8, 1, 2)
    variables = module.init(jax.random.key(0), z, train=False)
    params = random_like(variables["params"])
    statistics = {"BatchNorm_0": {"mean": np.array([0.1, -0.2]), "var": np.array([0.5, 2.0])}}

    def expected(mean, variance):
        x = (np.asarray(z, np.float64) @ params["Dense_0"]["kernel"]).reshape(4, 4, 4, 2)
        norm = params["BatchNorm_0"]
        x = (x - mean(x)) / np.sqrt(variance(x) + 1e-5) * norm["scale"] + norm["bias"]
        x = np.maximum(x, 0)
        canvas = np.zeros((4, 10, 10, 1))
        flipped = params["kernel_0"][::-1, ::-1]  # PyTorch's kernel is ours, turned around
        for i, j in itertools.product(range(4), repeat=2):
            spread = np.einsum("bc,ijco->bijo", x[:, i, j], flipped)
            canvas[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += spread
        return sigmoid(canvas[:, 1:-1, 1:-1])

    variables = {"params": params, "batch_stats": statistics}
    actual = module.apply(variables, z, train=False)
    stored = statistics["BatchNorm_0"]
    np.testing.assert_allclose(
        actual, expected(lambda x: stored["mean"], lambda x: stored["var"]), atol=1e-5
    )
    actual, updated = module.apply(variables, z, train=True, mutable=["batch_stats"])
    axes = (0, 1, 2)
    np.testing.assert_allclose(
        actual, expected(lambda x: x.mean(axes), lambda x: x.var(axes)), atol=1e-4
    )
    x = (z @ params["Dense_0"]["kernel"]).reshape(-1, 2)
    new = updated["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(new["mean"], 0.9 * stored["mean"] + 0.1 * x.mean(0), atol=1e-5)
    np.testing.assert_allclose(new["var"], 0.9 * stored["var"] + 0.1 * x.var(0), atol=1e-5)
