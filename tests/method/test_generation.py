"""The prior (Eq. 5) and the decoder (Eq. 6) of a frame, with and without the temporal state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiid.method import generation, latents
from stiid.method.parameters import init_params
from stiid.shapes import Gaussian

SLOTS = (2, 3)  # B, K; D = 4, M = 6


def normal(seed, size):
    return np.random.default_rng(seed).normal(size=(*SLOTS, size)).astype(np.float32)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("switches", "learned"),
    [
        ({}, {False, True}),
        ({"first_prior": "standard"}, {False}),
        ({"conditional_prior": False}, set()),
        ({"conditional_prior": False, "first_prior": "standard"}, set()),
    ],
)
def test_the_prior_is_learned_or_standard_normal(make_model, switches, learned, first):
    """``learned``: for which values of ``first`` the network gives the prior."""
    model = make_model(**switches)
    params, h = init_params(model, jax.random.key(0)), normal(0, 6)
    last = None if first else latents.standard_normal((*SLOTS, 4))
    prior = generation.frame_prior(model, params, h, last)
    if first in learned:
        expected = model.prior.apply({"params": params["prior"]}, h)
    else:
        expected = (np.zeros((*SLOTS, 4)), np.zeros((*SLOTS, 4)))
    for ours, theirs in zip(prior, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_residual_prior_adds_to_the_last_mean(make_model):
    model = make_model(residual_prior=True)
    params, h = init_params(model, jax.random.key(0)), normal(0, 6)
    last = Gaussian(normal(1, 4), normal(2, 4))
    change = model.prior.apply({"params": params["prior"]}, h)
    first = generation.frame_prior(model, params, h, None)
    later = generation.frame_prior(model, params, h, last)
    np.testing.assert_array_equal(first.mean, change.mean)
    np.testing.assert_allclose(later.mean, last.mean + change.mean, rtol=1e-6)
    np.testing.assert_array_equal(later.log_var, change.log_var)
    with pytest.raises(ValueError, match="residual_prior needs conditional_prior"):
        make_model(residual_prior=True, conditional_prior=False)


@pytest.mark.parametrize("switch", [True, False])
def test_the_decoder_sees_the_temporal_state_with_generation(make_model, switch):
    model = make_model(kernel_size=1, generation=switch)
    params, z, h = init_params(model, jax.random.key(0)), normal(0, 4), normal(1, 6)
    decoded = generation.decode(model, params, z, h)
    other = generation.decode(model, params, z, h + 1.0)
    assert decoded.means.shape == (*SLOTS, 8, 8, 3)
    assert decoded.logits.shape == (*SLOTS, 8, 8, 1)
    assert (np.abs(decoded.means - other.means).max() > 1e-4) == switch


@pytest.mark.usefixtures("float64")
def test_mean_appearance_is_the_average_by_masks():
    rng = np.random.default_rng(4)
    means, logits = rng.random((2, 3, 5, 6, 3)), 3.0 * rng.normal(size=(2, 3, 5, 6, 1))
    masks = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = (masks * means).sum((2, 3)) / masks.sum((2, 3))  # [B, K, C]
    actual = generation.mean_appearance(jnp.asarray(means), jnp.asarray(logits))
    assert actual.shape == means.shape
    np.testing.assert_allclose(
        actual, np.zeros_like(means) + expected[:, :, None, None], rtol=1e-12
    )


def test_mean_appearance_of_a_slot_without_pixels_is_finite():
    means = jnp.linspace(0.0, 1.0, 2 * 4 * 3).reshape(1, 2, 2, 2, 3)
    logits = jnp.zeros((1, 2, 2, 2, 1)).at[:, 1].set(-1e4).at[:, 1, 0, 1].set(-1e4 + 100.0)

    def total(means, logits):
        return generation.mean_appearance(means, logits)[0, 1, 0, 0].sum()

    value, gradients = jax.value_and_grad(total, argnums=(0, 1))(means, logits)
    assert value == pytest.approx(float(means[0, 1, 0, 1].sum()))
    assert all(bool(jnp.isfinite(x).all()) for x in gradients)
