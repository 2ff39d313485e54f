"""Diagonal-Gaussian latents: sample, KL divergence, additive update."""

import jax
import jax.numpy as jnp

from stiid.shapes import Array, Gaussian


def standard_normal(shape: tuple[int, ...]) -> Gaussian:
    """N(0, I) for latents of a shape [B, K, D]."""
    return Gaussian(jnp.zeros(shape), jnp.zeros(shape))


def sample(q: Gaussian, noise: Array) -> Array:
    """Reparameterized sample z = μ + σ ⊙ ε, [B, K, D]; zero noise gives the mean."""
    return q.mean + jnp.exp(0.5 * q.log_var) * noise


def kl_divergence(q: Gaussian, p: Gaussian) -> Array:
    """KL(q ‖ p) of diagonal Gaussians, summed over the latent's dimensions: [B, K] in nats."""
    variance_ratio = jnp.exp(q.log_var - p.log_var)
    squared_shift = (q.mean - p.mean) ** 2 * jnp.exp(-p.log_var)
    return 0.5 * (variance_ratio + squared_shift - 1.0 + p.log_var - q.log_var).sum(-1)


def update(
    q: Gaussian,
    delta: Gaussian,
    *,
    clamp: float | None = None,
    log_var_range: tuple[float, float] | None = None,
) -> Gaussian:
    """λ_{r+1} = λ_r + Δλ (Eq. 4).

    Args:
      q: λ_r.
      delta: Δλ.
      clamp: bound on Δλ (the paper's A.3, for SEQ-IODINE).
      log_var_range: bounds of log σ² (ours).
    """
    if clamp is not None:
        delta = jax.tree.map(lambda x: jnp.clip(x, -clamp, clamp), delta)
    q = jax.tree.map(jnp.add, q, delta)
    if log_var_range is not None:
        q = q._replace(log_var=jnp.clip(q.log_var, *log_var_range))
    return q


def to_vector(q: Gaussian) -> Array:
    """(μ, log σ²) as one vector per slot: [B, K, 2D], the mean first."""
    return jnp.concatenate(q, axis=-1)


def from_vector(vector: Array) -> Gaussian:
    """The inverse of ``to_vector``."""
    return Gaussian(*jnp.split(vector, 2, axis=-1))
