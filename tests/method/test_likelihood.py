"""Oracles: mixtures of scipy's normal densities by logsumexp, in float64, and worked examples."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from stiid.method import likelihood

VARIANCE = 0.3


def random_scene(seed=0, *, channels=3, slots=4):
    """Frame, appearances and masks (float32)."""
    rng = np.random.default_rng(seed)
    x, means = rng.random((2, 5, 6, channels)), rng.random((2, slots, 5, 6, channels))
    masks = np.asarray(jax.nn.softmax(2.0 * rng.normal(size=(2, slots, 5, 6, 1)), axis=1))
    return [jnp.asarray(a, jnp.float32) for a in (x, means, masks)]


def log_likelihood(x, means, masks, *, mixture, variance=VARIANCE):
    exponents = likelihood.slot_exponents(x, means, variance=variance)
    return likelihood.mixture_log_likelihood(exponents, masks, mixture=mixture)


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
@pytest.mark.parametrize("channels", [1, 3])
def test_log_likelihood_equals_scipy(mixture, channels):
    scene = random_scene(channels=channels)
    actual = log_likelihood(*scene, mixture=mixture)
    actual = actual + likelihood.log_normalizer(variance=VARIANCE, channels=channels)
    expected = oracles.log_likelihood(*oracles.float64(scene), variance=VARIANCE, mixture=mixture)
    assert actual.shape == (2, 5, 6)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_both_mixtures_agree_on_one_channel_and_differ_on_three():
    gray, color = random_scene(channels=1), random_scene(channels=3)
    pixel, channel = (log_likelihood(*gray, mixture=kind) for kind in likelihood.MIXTURES)
    np.testing.assert_allclose(pixel, channel, rtol=1e-6)
    pixel, channel = (log_likelihood(*color, mixture=kind) for kind in likelihood.MIXTURES)
    assert np.abs(pixel - channel).max() > 0.01


def test_two_slots_worked_by_hand():
    # x = (0, 1); slot 0 paints (0, 1) with mask 1/4, slot 1 paints (1, 1) with mask 3/4; σ² = 1/2.
    x = jnp.asarray([0.0, 1.0]).reshape(1, 1, 1, 2)
    means = jnp.asarray([[0.0, 1.0], [1.0, 1.0]]).reshape(1, 2, 1, 1, 2)
    masks = jnp.asarray([0.25, 0.75]).reshape(1, 2, 1, 1, 1)
    for mixture in likelihood.MIXTURES:  # the second channel is certain: log 1 = 0 in both
        value = log_likelihood(x, means, masks, mixture=mixture, variance=0.5)
        assert value.item() == pytest.approx(np.log(0.25 + 0.75 * np.exp(-1.0)))


@pytest.mark.parametrize("variance", [0.09, 0.3])
@pytest.mark.parametrize("channels", [1, 3])
def test_log_normalizer_is_the_peak_of_the_density(variance, channels):
    expected = channels * norm.logpdf(0.0, 0.0, np.sqrt(variance))
    actual = likelihood.log_normalizer(variance=variance, channels=channels)
    assert actual == pytest.approx(expected)


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_gradients_are_the_closed_forms(mixture):
    x, means, masks = random_scene()
    by_means, by_masks = jax.grad(
        lambda means, masks: -log_likelihood(x, means, masks, mixture=mixture).sum(),
        argnums=(0, 1),
    )(means, masks)
    expected = oracles.nll_gradients(
        *oracles.float64((x, means, masks)), variance=VARIANCE, mixture=mixture
    )
    np.testing.assert_allclose(by_means, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_masks, expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
@pytest.mark.parametrize("beta", [1.0, 100.0])
def test_nothing_overflows_when_masks_underflow(mixture, beta):
    x = jnp.zeros((1, 1, 2, 3))
    means = jnp.stack([jnp.zeros((1, 1, 2, 3)), jnp.ones((1, 1, 2, 3))], axis=1)
    # Pixel 0: the slot that explains it has mask 0 and the other, far off, 1. Pixel 1: all are 0.
    masks = jnp.asarray([[0.0, 0.0], [1.0, 0.0]]).reshape(1, 2, 1, 2, 1)
    value, gradients = jax.value_and_grad(
        lambda means, masks: (
            beta * log_likelihood(x, means, masks, mixture=mixture, variance=0.001).sum()
        ),
        argnums=(0, 1),
    )(means, masks)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.floats(0.0, 200.0))
def test_masks_are_a_distribution_whatever_the_logits(seed, scale):
    logits = scale * np.random.default_rng(seed).normal(size=(1, 4, 5, 6, 1)).astype(np.float32)
    masks = np.asarray(likelihood.slot_masks(logits))
    np.testing.assert_allclose(masks.sum(1), 1.0, rtol=1e-5)
    assert masks.min() >= 0.0
    np.testing.assert_array_equal(masks.argmax(1), logits.argmax(1))


@pytest.mark.parametrize("kind", ["normalized", "softmax"])
def test_posterior_masks_weigh_likelihoods(kind):
    x, means, _ = random_scene()
    exponents = likelihood.slot_exponents(x, means, variance=VARIANCE)
    masks = likelihood.posterior_masks(exponents, kind=kind)
    densities = norm.pdf(x[:, None], means, np.sqrt(VARIANCE)).prod(-1, keepdims=True)
    densities = densities / norm.pdf(0.0, 0.0, np.sqrt(VARIANCE)) ** 3  # 1 where x = μ
    weights = np.exp(densities) if kind == "softmax" else densities
    np.testing.assert_allclose(masks, weights / weights.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(masks.sum(1), 1.0, rtol=1e-5)


def test_posterior_masks_survive_likelihoods_that_underflow():
    exponents = jnp.asarray([-1e4, -2e4]).reshape(1, 2, 1, 1, 1)
    masks = likelihood.posterior_masks(exponents, kind="normalized")
    np.testing.assert_array_equal(np.ravel(masks), [1.0, 0.0])


def test_reconstruction_is_the_mean_over_slots():
    _, means, masks = random_scene()
    expected = np.einsum("bkhwo,bkhwc->bhwc", masks, means)
    np.testing.assert_allclose(likelihood.mix(masks, means), expected, rtol=1e-5)


def test_shapes_that_would_broadcast_are_refused():
    """A gray frame against slots in color, a mask per channel, and slots that are not as many."""
    x, means, masks = random_scene()
    options = likelihood.LikelihoodOptions()
    message = r"means: expected shape \[B, K, H, W, C\] = \(2, K, 5, 6, 1\), got \(2, 4, 5, 6, 3\)"
    with pytest.raises(ValueError, match=message):
        likelihood.log_likelihood(options, x[..., :1], means, masks)
    with pytest.raises(ValueError, match=r"masks: expected shape .* got \(2, 4, 5, 6, 3\)"):
        likelihood.mix(jnp.repeat(masks, 3, axis=-1), means)
    with pytest.raises(ValueError, match=r"means: expected shape .* got \(2, 4, 5, 6, 3\)"):
        likelihood.mix(masks[:, :1], means)
