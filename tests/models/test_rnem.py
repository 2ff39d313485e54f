"""The procedure of R-NEM. Oracles: NumPy in float64, relations, literal counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from rnem_case import PAPER, B, K, S, T, frames, random_like, sigmoid

from stiid.evaluation.metrics import adjusted_rand_index
from stiid.models.base import Decoding
from stiid.models.rnem import procedure
from stiid.models.rnem.procedure import Slots
from stiid.models.rnem.scores import grouping_scores, rnem_ari

pytestmark = pytest.mark.usefixtures("quick_compilation")


SMALL = dataclasses.replace(
    PAPER, num_slots=3, features=(2, 3), hidden=6, state_size=5, attention_features=4
)


def video(length=T):
    return np.swapaxes(frames(length=length), 0, 1).astype(np.uint8) * 255


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
    assert flips.mean() == pytest.approx(0.2, abs=0.015)  # 20,480 samples, sd 0.003


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
