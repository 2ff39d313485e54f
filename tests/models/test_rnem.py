"""R-NEM. Oracles: NumPy in float64 written from the specification, relations, literal counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stiid.evaluation.metrics import adjusted_rand_index
from stiid.kernels.upsample import UpsampleConv
from stiid.models.base import Decoding
from stiid.models.rnem import procedure
from stiid.models.rnem.model import RnemConfig
from stiid.models.rnem.networks import Decoder, Encoder, PlainCell, RelationalCell
from stiid.models.rnem.procedure import Slots
from stiid.models.rnem.scores import grouping_scores, rnem_ari

pytestmark = pytest.mark.usefixtures("quick_compilation")

PAPER = RnemConfig(
    family="rnem",
    num_slots=5,
    cell="r_nem",
    features=(16, 32, 64),
    hidden=512,
    state_size=250,
    attention_features=100,
    flip_probability=0.2,
    inter_weight=1.0,
)
SMALL = dataclasses.replace(
    PAPER, num_slots=3, features=(2, 3), hidden=6, state_size=5, attention_features=4
)
B, T, K, S = 2, 4, 3, 8


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def random_like(tree, seed=0, scale=0.4):
    """Values for a tree of shapes: biases and gains are not 0 and 1."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) * scale, tree)


def params_of(module, *inputs):
    return random_like(jax.eval_shape(module.init, jax.random.key(0), *inputs))


def frames(seed=0, *, length=T, channels=1):
    rng = np.random.default_rng(seed)
    return (rng.random((length, B, S, S, channels)) < 0.3).astype(np.float32)


def video(length=T):
    return np.swapaxes(frames(length=length), 0, 1).astype(np.uint8) * 255


def numpy_layer_norm(x, params, axes):
    x = np.asarray(x, np.float64)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * params["scale"] + params["bias"]


def numpy_dense(x, params):
    return np.asarray(x, np.float64) @ params["kernel"] + params["bias"]


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


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


def toy_network(seen, hidden):
    """Something simple that depends on everything."""
    means = jax.nn.sigmoid(2.0 * seen + hidden.mean(-1)[..., None, None, None])
    return means, 0.5 * hidden + seen.mean(axis=(2, 3, 4))[..., None]


def numpy_run(first, clean, flips):
    """Steps of the specification, in a loop; also yields what the network saw."""
    hidden, means, shares = (np.asarray(x, np.float64) for x in first)
    seen_all, result = [], []
    for t in range(len(clean) - 1):
        noisy = np.where(flips[t] == 1, 1.0 - clean[t], clean[t])
        seen = (noisy[:, None] - means) * shares
        means = sigmoid(2.0 * seen + hidden.mean(-1)[..., None, None, None])
        hidden = 0.5 * hidden + seen.mean(axis=(2, 3, 4))[..., None]
        likelihood = np.where(clean[t + 1][:, None] == 1, means, 1 - means).sum(-1, keepdims=True)
        shares = (likelihood + 1e-6) / (likelihood + 1e-6).sum(1, keepdims=True)
        seen_all.append(seen)
        result.append((hidden, means, shares))
    return seen_all, [np.stack(parts) for parts in zip(*result, strict=True)]


def start(channels=1):
    noise = np.random.default_rng(2).normal(size=(B, K, S, S, 1))
    return procedure.start(jnp.asarray(noise), hidden_size=1, channels=channels)


def test_start():
    first = start()
    np.testing.assert_allclose(first.shares.sum(1), 1.0, rtol=1e-5)
    noise = np.abs(np.random.default_rng(2).normal(size=(B, K, S, S, 1)))
    np.testing.assert_allclose(first.shares, noise / noise.sum(1, keepdims=True), rtol=1e-5)
    assert not first.hidden.any()
    assert not first.means.any()
    alone = procedure.start(jnp.asarray(noise[:, :1]), hidden_size=1, channels=1)
    assert (alone.shares == 1.0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_steps_see_noisy_frames_and_share_the_clean_next_one(channels):
    clean = frames(3, channels=channels)
    flips = (np.random.default_rng(4).random((T - 1, *clean.shape[1:])) < 0.2).astype(np.float32)
    _, expected = numpy_run(start(channels), clean, flips)
    actual = jax.jit(procedure.observe, static_argnums=0)(
        toy_network, start(channels), clean, flips
    )
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_simulation_feeds_the_reconstruction_and_takes_bright_pixels_for_true():
    flips = np.zeros((2, B, S, S, 1), np.float32)
    flips[1, 0, 3] = 1.0
    rng = np.random.default_rng(5)
    shares = rng.random((B, K, S, S, 1))
    slots = Slots(
        rng.normal(size=(B, K, 1)),
        rng.random((B, K, S, S, 1)),
        shares / shares.sum(1, keepdims=True),
    )

    def dim_network(seen, hidden):  # about half of the pixels stay below the threshold
        means, hidden = toy_network(seen, hidden)
        return means**6, hidden

    actual = procedure.simulate(dim_network, jax.tree.map(jnp.asarray, slots), flips)
    hidden, means, shares = slots
    for t in range(2):
        frame = (shares * means).sum(1)
        noisy = frame + flips[t] - 2 * frame * flips[t]
        seen = (noisy[:, None] - means) * shares
        means = sigmoid(2.0 * seen + hidden.mean(-1)[..., None, None, None]) ** 6
        hidden = 0.5 * hidden + seen.mean(axis=(2, 3, 4))[..., None]
        truth = means.max(1, keepdims=True) > 0.1
        assert 0.05 < truth.mean() < 0.95
        likelihood = np.where(truth, means, 1 - means) + 1e-6
        shares = likelihood / likelihood.sum(1, keepdims=True)
        for ours, theirs in zip(actual, (hidden, means, shares), strict=True):
            np.testing.assert_allclose(ours[t], theirs, atol=1e-5)


def test_loss():
    rng = np.random.default_rng(6)
    clean = frames(7)[1:]
    means = rng.random((T - 1, B, K, S, S, 1))
    means[0, 0, 0], means[0, 0, 1] = 0.0, 1.0  # clipped
    shares = rng.random((T - 1, B, K, S, S, 1))
    shares /= shares.sum(2, keepdims=True)
    slots = Slots(None, jnp.asarray(means, jnp.float32), jnp.asarray(shares, jnp.float32))
    result = procedure.loss(slots, clean, inter_weight=0.7)

    def entropies(means, target):
        p = np.clip(means, 1e-6, 1 - 1e-6)
        return -np.where(target == 1, np.log(p), np.log(1 - p)), -np.log(
            np.maximum(1 - means, 1e-6)
        )

    own, other = entropies(means, clean[:, :, None])
    intra = (shares * own).sum((2, 3, 4, 5)).mean(0)
    inter = ((1 - shares) * other).sum((2, 3, 4, 5)).mean(0)
    bound = sum(w * x for w, x in zip((1, 0.7), entropies(means.max(2), clean), strict=True))
    error = ((means * shares).sum(2) - clean) ** 2
    np.testing.assert_allclose(result.nll, intra, rtol=1e-3)  # 1 − 1e-6 in float32
    np.testing.assert_allclose(result.kl, inter, rtol=1e-3)
    np.testing.assert_allclose(result.total, intra + 0.7 * inter, rtol=1e-3)
    np.testing.assert_allclose(result.upper_bound, bound.sum((2, 3, 4)).mean(0), rtol=1e-3)
    np.testing.assert_allclose(result.mse, error.mean((0, 2, 3, 4)), rtol=1e-4)


def test_no_gradient_flows_through_the_shares():
    """Neither where they mask the input nor where they weigh the loss."""
    clean = frames(8, length=3)
    flips = np.zeros((2, *clean.shape[1:]), np.float32)

    def total(offset, *, cut):
        def network(seen, hidden):
            means, hidden = toy_network(seen, hidden)
            means = jnp.clip(means + offset, 0.05, 0.95)
            return means, hidden

        first = start()
        states = [first]
        for t in range(2):  # the procedure by hand, shares cut by the test itself
            if not cut:
                break
            seen = (clean[t][:, None] - states[-1].means) * lax.stop_gradient(states[-1].shares)
            means, hidden = network(seen, states[-1].hidden)
            shares = lax.stop_gradient(procedure.share_pixels(means, clean[t + 1]))
            states.append(Slots(hidden, means, shares))
        if cut:
            slots = jax.tree.map(lambda *x: jnp.stack(x), *states[1:])
        else:
            slots = procedure.observe(network, first, clean, flips)
        return procedure.loss(slots, clean[1:], inter_weight=1.0).total.sum()

    ours, theirs = (jax.grad(lambda x, c=c: total(x, cut=c))(0.01) for c in (False, True))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.fixture(scope="module")
def small():
    """Large weights: with small ones the layer norms hide what slots differ in."""
    system = SMALL.build((S, S, 1))
    return system, random_like(jax.eval_shape(system.init, jax.random.key(0)), scale=1.0)


def decompose(small, video, *, num_simulated=0, noise="all", num_slots=K, restarts=1, keys=(0, 1)):
    system, params = small
    decoding = Decoding(num_slots=num_slots, noise=noise, restarts=restarts)
    function = jax.jit(lambda *args: system.decompose(*args, decoding, num_simulated=num_simulated))
    return function(params, video, jnp.stack([jax.random.key(k) for k in keys]))


def test_decomposition(small):
    """Frame 0 is the start; a video's rows are its own; noise 'first' has no flips."""
    result = decompose(small, video(), num_simulated=2)
    assert result.reconstruction.shape == (B, T + 2, S, S, 1)
    assert result.masks.shape == (B, T + 2, K, S, S)
    np.testing.assert_allclose(result.masks.sum(2), 1.0, rtol=1e-5)
    assert not result.means[:, 0].any()
    again = decompose(small, video()[1:], num_simulated=2, keys=(1,))
    np.testing.assert_allclose(again.means[0], result.means[1], atol=1e-4)
    quiet = decompose(small, video(), noise="first")
    other = decompose(small, video(), noise="all")
    np.testing.assert_allclose(quiet.masks[:, 0], other.masks[:, 0], rtol=1e-5)
    assert np.abs(quiet.means[:, 1] - other.means[:, 1]).max() > 1e-3


def test_shares_of_a_frame_have_seen_it_and_predictions_have_not(small):
    changed = video()
    changed[:, -1] = 255 - changed[:, -1]
    ours, theirs = decompose(small, video()), decompose(small, changed)
    np.testing.assert_allclose(ours.means, theirs.means, atol=1e-5)
    assert np.abs(ours.masks[:, -1] - theirs.masks[:, -1]).max() > 1e-3
    np.testing.assert_allclose(ours.masks[:, :-1], theirs.masks[:, :-1], atol=1e-5)


def test_flips_have_their_probability(small):
    system, _ = small
    keys = jax.vmap(jax.random.key)(jnp.arange(8))
    _, flips = system._noise(keys, num_frames=40, num_slots=K)
    assert set(np.unique(flips)) == {0.0, 1.0}
    assert flips.mean() == pytest.approx(0.2, abs=0.015)  # 20,480 draws, sd 0.003


def test_what_has_no_meaning_is_refused(small):
    with pytest.raises(ValueError, match=r"restarts: R-NEM starts once, got 2"):
        decompose(small, video(), restarts=2)
    with pytest.raises(ValueError, match=r"cell 'r_nem' needs at least 2, got 1"):
        decompose(small, video(), num_slots=1)
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        small[0].loss(small[1], video()[:, :1], jax.random.split(jax.random.key(0), B))
    with pytest.raises(ValueError, match=r"multiples of 4, got 10×8"):
        SMALL.build((10, 8, 1))
    with pytest.raises(ValueError, match=r"flip_probability must lie in \[0, 1\]"):
        dataclasses.replace(SMALL, flip_probability=1.5)


def test_its_rule_and_ours_agree_but_for_degenerate_frames():
    rng = np.random.default_rng(0)
    table = rng.integers(0, 30, (50, 4, 5))
    np.testing.assert_allclose(rnem_ari(table), adjusted_rand_index(table[:, 1:]), atol=1e-6)
    empty = np.array([[9, 9], [0, 0]])
    assert (rnem_ari(empty), adjusted_rand_index(empty[1:])) == (0.0, 1.0)
    # Above 2e6 counted pairs the clip at 1e6 bites: foregrounds of 64×64 frames stay below.
    huge = np.array([[0, 0], [2000, 0], [0, 2000]])
    assert rnem_ari(huge) > 1.5


def test_its_scores_drop_the_random_first_frame():
    table = np.zeros((1, 3, 3, 2), int)
    table[0, 0, 1:] = [[1, 1], [1, 1]]
    table[0, 1, 1:] = [[3, 0], [0, 3]]
    table[0, 2, 1:] = [[2, 2], [2, 2]]
    shares = np.zeros((1, 3, 2, 1, 2))
    shares[0, :, 0, 0] = [[0.5, 0.5], [0.9, 0.6], [0.3, 0.2]]
    shares[0, :, 1] = 1 - shares[0, :, 0]
    ids = np.array([[[[1, 1]], [[1, 0]], [[2, 1]]]])
    scores = grouping_scores(table, shares, ids)
    last = adjusted_rand_index(table[0, 2, 1:])
    assert last < 0
    assert scores.score[0] == pytest.approx((1.0 + last) / 2)
    assert scores.score_last[0] == pytest.approx(last)
    assert scores.confidence[0] == pytest.approx((0.9 + 0.75) / 2)
    assert scores.confidence_last[0] == pytest.approx(0.75)
