"""The loss of DDPAE and its decompositions. Oracles: densities of SciPy, relations."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from ddpae_case import BALLS, B, N, S, T, random_like
from scipy import stats

from stiid.models.base import Decoding
from stiid.models.ddpae import procedure
from stiid.models.ddpae.procedure import Normal
from stiid.typed_config import to_dict

pytestmark = pytest.mark.usefixtures("quick_compilation")


SMALL = dataclasses.replace(
    BALLS, num_slots=2, num_observed=2, features=2, frame_code=5, hidden=4, content=3
)


def video(seed=0, *, batch=B, length=T, channels=1):
    rng = np.random.default_rng(seed)
    return (rng.random((batch, length, S, S, channels)) < 0.2).astype(np.uint8) * 255


def keys(count=B):
    return jax.vmap(jax.random.key)(jnp.arange(count))


@pytest.fixture(scope="module")
def small():
    system = SMALL.build((S, S, 1))
    params = random_like(jax.eval_shape(system.init, jax.random.key(0)))
    params["statistics"] = jax.tree.map(np.abs, params["statistics"])  # variances are positive
    return system, params


def test_divergences():
    rng = np.random.default_rng(6)
    q = Normal(rng.normal(size=(5, 3)), rng.random((5, 3)) + 0.1)
    value = rng.normal(size=(5, 3))
    for p, mean, deviation in zip(
        procedure.prior(4.0),
        ([0] * 3, [4, 0, 0], [0] * 3),
        ([0.1] * 3, [0.2, 1, 1], [1] * 3),
        strict=True,
    ):
        ratio = stats.norm.logpdf(value, *q) - stats.norm.logpdf(value, mean, deviation)
        actual = procedure.log_ratio(q, p, jnp.asarray(value))
        np.testing.assert_allclose(actual, ratio.sum(-1), rtol=1e-4)
        m, s = np.asarray(mean), np.asarray(deviation)
        kl = np.log(s / q.deviation) + (q.deviation**2 + (q.mean - m) ** 2) / (2 * s**2) - 0.5
        np.testing.assert_allclose(procedure.divergence(q, p), kl.sum(-1), rtol=1e-4)


def test_light_adds_up_to_white_at_most():
    components = np.full((1, 1, 3, 1, 2, 1), 0.25)
    components[..., 0, :] = 0.5
    np.testing.assert_allclose(procedure.compose(jnp.asarray(components)).ravel(), [1.0, 0.75])


@pytest.mark.parametrize("scored", ["all", "predicted"])
def test_loss_is_minus_a_one_sample_elbo(small, scored):
    """From the parts of one pass, with SciPy's densities."""
    config = dataclasses.replace(SMALL, scored=scored)
    system, params = config.build((S, S, 1)), small[1]
    clips = video()
    result = jax.jit(system.loss)(params, clips, keys())
    noise = system._noise(keys(), num_frames=T, num_slots=N)
    frames = clips / np.float32(255)
    forward = jax.jit(lambda *args: system.model.run(*args, num_predicted=2, train=True))
    run = forward(params, frames[:, :2], noise)
    for posterior, sample, draw in zip(run.posterior, run.sample, noise, strict=True):
        np.testing.assert_allclose(sample, posterior.mean + posterior.deviation * draw, rtol=1e-4)
    output = np.minimum(np.asarray(run.components).sum(2), 1.0)
    first = 0 if scored == "all" else 2
    density = stats.norm.logpdf(frames, output, 0.3) + 0.5 * np.log(2 * np.pi * 0.09)
    nll = -density[:, first:].sum((1, 2, 3, 4))
    kl = 0.0
    priors = (([0] * 3, [0.1] * 3), ([4, 0, 0], [0.2, 1, 1]), ([0] * 3, [1] * 3))
    for q, x, p in zip(run.posterior, run.sample, priors, strict=True):
        ratio = stats.norm.logpdf(x, *q) - stats.norm.logpdf(x, *map(np.asarray, p))
        kl = kl + ratio.reshape(B, -1).sum(1)
    np.testing.assert_allclose(result.nll, nll, rtol=1e-3)
    np.testing.assert_allclose(result.kl, kl, rtol=1e-3)
    np.testing.assert_allclose(result.total, nll + kl, rtol=1e-3)
    error = (output - frames) ** 2
    np.testing.assert_allclose(result.mse, error.mean((1, 2, 3, 4)), rtol=1e-3)
    np.testing.assert_allclose(result.predicted_mse, error[:, 2:].mean((1, 2, 3, 4)), rtol=1e-3)


def test_statistics_move_with_the_data_and_not_by_a_gradient(small):
    system, params = small

    @jax.jit
    def by_statistics(statistics):
        def total(statistics):
            terms = system.loss({**params, "statistics": statistics}, video(), keys())
            return terms.total.mean(), terms

        return jax.grad(total, has_aux=True)(statistics)

    gradient, terms = by_statistics(params["statistics"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    terms = jax.tree.map(lambda x: x.mean(0), terms)
    updated = system.after_update(params, terms)
    assert jax.tree.structure(updated) == jax.tree.structure(params)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), updated["statistics"], params["statistics"]
    )
    assert all(value > 1e-4 for value in jax.tree.leaves(moved))


def decompose(small, clips, *, num_simulated=1, noise="first", num_slots=N, restarts=1):
    system, params = small
    decoding = Decoding(num_slots=num_slots, noise=noise, restarts=restarts)
    function = jax.jit(
        lambda p, v, k: system.decompose(p, v, k, decoding, num_simulated=num_simulated)
    )
    return function(params, clips, keys(len(clips)))


def test_decomposition(small):
    """Means, no sampling; a video's result is its own; the background is the last slot."""
    clips = video()
    result = decompose(small, clips)
    alone = decompose(small, clips[1:2])  # key 0, batch of one
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours[0], theirs[1], atol=1e-4),
        alone,
        result,
    )
    assert result.masks.shape == (B, T + 1, N + 1, S, S)
    np.testing.assert_allclose(result.masks.sum(2), 1.0, rtol=1e-5)
    light = np.asarray(result.masks[:, :, :-1, ..., None] * result.means[:, :, :-1]).sum(2)
    dark = np.asarray(result.masks[:, :, -1]) > 0
    np.testing.assert_allclose(light[dark], result.reconstruction[dark], atol=1e-5)
    assert not result.means[:, :, -1].any()
    assert result.positions.shape == (B, T + 1, N, 2)
    assert result.kl.shape == (B, T + 1, N + 1)
    assert (result.kl[:, :, :-1] > 0).all()
    sampled = decompose(small, clips, noise="all")
    assert np.abs(sampled.reconstruction - result.reconstruction).max() > 1e-3
    more = decompose(small, clips, num_slots=3)
    np.testing.assert_allclose(more.positions[:, :, :N], result.positions, atol=1e-5)


def test_what_has_no_meaning_is_refused(small):
    with pytest.raises(ValueError, match="restarts: DDPAE has no random start, got 2"):
        decompose(small, video(), restarts=2)
    with pytest.raises(ValueError, match=r"model.num_observed = 2: clips need more .* got 2"):
        small[0].loss(small[1], video(length=2), keys())
    with pytest.raises(
        ValueError, match=r"evaluate\.lengths: expected one length for DDPAE, .* got "
    ):
        tiny.experiment(Path("data"), model=to_dict(SMALL), evaluate__lengths=(3, 6))
    for shape in ((24, 24, 1), (16, 32, 1), (8, 8, 1)):
        with pytest.raises(ValueError, match="power of two of at least 16"):
            SMALL.build(shape)
    with pytest.raises(ValueError, match=r"scale must exceed 1\.5"):
        dataclasses.replace(SMALL, scale=1.5)
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        dataclasses.replace(SMALL, hidden=0)
