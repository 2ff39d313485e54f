"""Diagonal-Gaussian latents: sample, KL divergence, additive update."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from stiid.method.options import Options
from stiid.shapes import Array, Gaussian, check_shapes


@dataclass(frozen=True, kw_only=True)
class LatentOptions(Options):
    """Bounds of the additive update.

    Attributes:
      delta_clamp: bound on Δλ, or None. Appendix A.3: 10 for SEQ-IODINE on binary balls beyond the
        training length.
      log_var_range: *not in the paper*: bounds of the posterior's log σ² after each update, or
        None. The start of a frame is not bounded.
    """

    delta_clamp: float | None = None
    # Not in the paper.
    log_var_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that exclude everything."""
        super().__post_init__()
        self._check_positive("delta_clamp")
        bounds = self.log_var_range
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"inference.log_var_range: expected (low, high), got {bounds}")


def standard_normal(shape: tuple[int, ...]) -> Gaussian:
    """N(0, I) for latents of a shape [B, K, D]."""
    return Gaussian(jnp.zeros(shape), jnp.zeros(shape))


def sample(q: Gaussian, noise: Array) -> Array:
    """Sample z ~ q_λ of Eq. 4, reparameterized: z = μ + σ ⊙ ε, [B, K, D]; the mean if ε is zero."""
    check_shapes(mean=(q.mean, "B K D"), log_var=(q.log_var, "B K D"), noise=(noise, "B K D"))
    return q.mean + jnp.exp(0.5 * q.log_var) * noise


def kl_divergence(q: Gaussian, p: Gaussian) -> Array:
    """KL(q ‖ p) of Eq. 3 for diagonal Gaussians, summed over D: [B, K] in nats.

    ½ Σ_d [ σ_q²/σ_p² + (μ_q − μ_p)²/σ_p² − 1 + log σ_p² − log σ_q² ].
    """
    check_shapes(q=(q.mean, "B K D"), p=(p.mean, "B K D"))
    variance_ratio = jnp.exp(q.log_var - p.log_var)
    squared_shift = (q.mean - p.mean) ** 2 * jnp.exp(-p.log_var)
    return 0.5 * (variance_ratio + squared_shift - 1.0 + p.log_var - q.log_var).sum(-1)


def update(options: LatentOptions, q: Gaussian, delta: Gaussian) -> Gaussian:
    """λ_{r+1} = λ_r + Δλ (Eq. 4)."""
    if options.delta_clamp is not None:
        bound = options.delta_clamp
        delta = jax.tree.map(lambda x: jnp.clip(x, -bound, bound), delta)
    q = jax.tree.map(jnp.add, q, delta)
    if options.log_var_range is not None:
        q = q._replace(log_var=jnp.clip(q.log_var, *options.log_var_range))
    return q


def to_vector(q: Gaussian) -> Array:
    """λ = (μ, log σ²) as one vector per slot: [B, K, 2D], the mean first."""
    return jnp.concatenate(q, axis=-1)


def from_vector(vector: Array) -> Gaussian:
    """The inverse of ``to_vector``."""
    return Gaussian(*jnp.split(vector, 2, axis=-1))
