"""Oracles: the KL divergence by numerical integration and in its textbook form, float64."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from stiid.method import latents
from stiid.method.latents import LatentOptions
from stiid.shapes import Gaussian

SHAPE = (2, 3, 4)


def random_gaussian(seed):
    mean, log_var = np.random.default_rng(seed).normal(size=(2, *SHAPE)).astype(np.float32)
    return Gaussian(jnp.asarray(mean), jnp.asarray(log_var))


def test_kl_divergence_of_unit_shift_is_half_a_nat():
    q, p = Gaussian(jnp.ones((1, 1, 1)), jnp.zeros((1, 1, 1))), latents.standard_normal((1, 1, 1))
    assert latents.kl_divergence(q, p).item() == pytest.approx(0.5)


@pytest.mark.parametrize("q", [(0.3, -1.0), (-1.2, 0.8)])
@pytest.mark.parametrize("p", [(0.0, 0.0), (0.5, -0.6), (-0.4, 1.1)])
def test_kl_divergence_is_the_integral(q, p):
    (q_mean, q_log_var), (p_mean, p_log_var) = q, p
    q_density, p_density = norm(q_mean, np.exp(q_log_var / 2)), norm(p_mean, np.exp(p_log_var / 2))

    def integrand(z):
        return q_density.pdf(z) * (q_density.logpdf(z) - p_density.logpdf(z))

    expected, _ = quad(integrand, -15, 15, limit=200)
    as_slots = [Gaussian(*(jnp.full((1, 1, 1), value) for value in g)) for g in (q, p)]
    assert latents.kl_divergence(*as_slots).item() == pytest.approx(expected, rel=1e-5)


def test_kl_divergence_sums_dimensions_of_each_slot():
    q, p = random_gaussian(0), random_gaussian(1)
    kl = latents.kl_divergence(q, p)
    assert kl.shape == SHAPE[:2]
    np.testing.assert_allclose(
        kl, oracles.kl_divergence(oracles.float64(q), oracles.float64(p)), rtol=1e-5
    )


def test_kl_divergence_vanishes_with_its_gradient_where_both_are_equal():
    q = random_gaussian(0)
    kl, gradient = jax.value_and_grad(lambda q_: latents.kl_divergence(q_, q).sum())(q)
    np.testing.assert_allclose(kl, 0.0, atol=1e-5)
    np.testing.assert_allclose(np.stack(gradient), 0.0, atol=1e-5)


def test_sample_shifts_and_scales_noise():
    q = Gaussian(jnp.full(SHAPE, 2.0), jnp.full(SHAPE, np.log(9.0)))  # σ = 3
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_allclose(latents.sample(q, noise), 2.0 + 3.0 * noise, rtol=1e-5)
    np.testing.assert_array_equal(latents.sample(q, 0.0 * noise), q.mean)


def test_update_adds_and_clips_log_variances_only():
    q = Gaussian(jnp.full(SHAPE, 5.0), jnp.full(SHAPE, 1.0))
    delta = Gaussian(
        jnp.full(SHAPE, 4.0), jnp.asarray(np.float32([-9, -1, 0.5, 9]) + np.zeros(SHAPE))
    )
    free = latents.update(LatentOptions(), q, delta)
    np.testing.assert_array_equal(free.mean, np.full(SHAPE, 9.0))
    np.testing.assert_array_equal(free.log_var[0, 0], [-8.0, 0.0, 1.5, 10.0])
    kept = latents.update(LatentOptions(log_var_range=(-2.0, 3.0)), q, delta)
    np.testing.assert_array_equal(kept.mean, free.mean)
    np.testing.assert_array_equal(kept.log_var[0, 0], [-2.0, 0.0, 1.5, 3.0])
    small = latents.update(LatentOptions(delta_clamp=2.0), q, delta)
    np.testing.assert_array_equal(small.mean, np.full(SHAPE, 7.0))
    np.testing.assert_array_equal(small.log_var[0, 0], [-1.0, 0.0, 1.5, 3.0])


def test_shapes_that_would_broadcast_are_refused():
    q = random_gaussian(0)
    one = jax.tree.map(lambda x: x[:1], q)
    message = r"p: expected shape \[B, K, D\] = \(2, 3, 4\), got \(1, 3, 4\)"
    with pytest.raises(ValueError, match=message):
        latents.kl_divergence(q, one)
    with pytest.raises(ValueError, match=r"noise: expected shape .* got \(1, 3, 4\)"):
        latents.sample(q, one.mean)


def test_vectors_hold_the_mean_first():
    q = random_gaussian(0)
    vector = latents.to_vector(q)
    np.testing.assert_array_equal(vector[..., :4], q.mean)
    np.testing.assert_array_equal(vector[..., 4:], q.log_var)
    jax.tree.map(np.testing.assert_array_equal, latents.from_vector(vector), q)


def test_standard_normal_has_unit_variance():
    q = latents.standard_normal(SHAPE)
    np.testing.assert_array_equal(q.mean, np.zeros(SHAPE))
    np.testing.assert_array_equal(jnp.exp(q.log_var), np.ones(SHAPE))
