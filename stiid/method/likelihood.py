"""The image likelihood: a spatial mixture of Gaussians (Eq. 1 and 6)."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax

from stiid.kernels.slot_sums import (
    broadcast_channels,
    broadcast_slots,
    sum_channels,
    sum_slots,
)
from stiid.method.options import Options
from stiid.shapes import Array, check_shapes

MIXTURES = ("pixel", "channel")
POSTERIOR_MASKS = ("normalized", "softmax")
_LEAST = 1e-30


@dataclass(frozen=True, kw_only=True)
class LikelihoodOptions(Options):
    """The mixture of Eq. 1.

    Attributes:
      variance: σ². The paper's "variance … σ = 0.3" may also be read as σ² = 0.09; *authors' code*:
        σ² = 0.3.
      mixture: "pixel": one mixture per pixel, as Eq. 1 reads; "channel": one per color channel,
        whose logarithms are added (*authors' code*).
      posterior_mask: see ``posterior_masks``. "softmax": *authors' code*.
    """

    variance: float = 0.3
    mixture: str = "pixel"
    posterior_mask: str = "normalized"

    def __post_init__(self) -> None:
        """Refuse unknown kinds, and a variance that is not positive."""
        super().__post_init__()
        self._check_positive("variance")
        self._check_choice("mixture", MIXTURES)
        self._check_choice("posterior_mask", POSTERIOR_MASKS)


def slot_masks(logits: Array) -> Array:
    """Assignment probabilities m of Eq. 1: softmax over slots of the logits [B, K, H, W, 1]."""
    return jnp.exp(log_slot_masks(logits))


def log_slot_masks(logits: Array) -> Array:
    """Logarithm of ``slot_masks``, finite where these underflow: [B, K, H, W, 1]."""
    below = logits - lax.stop_gradient(logits).max(axis=1, keepdims=True)
    return below - broadcast_slots(jnp.log(sum_slots(jnp.exp(below))), logits.shape[1])


def mask_entropy(masks: Array) -> Array:
    """Σ_i H(m_i) of masks [B, K, H, W, 1], nats: [B]."""
    return -(masks * jnp.log(masks + 1e-9)).sum(axis=(1, 2, 3, 4))


def mix(masks: Array, means: Array) -> Array:
    """Mix slots, Σ_k m_k μ_k, which gives the reconstruction x̃ below Eq. 1: [B, H, W, C].

    Args:
      masks: m [B, K, H, W, 1].
      means: μ, or another value of each slot, [B, K, H, W, C].
    """
    check_shapes(masks=(masks, "B K H W 1"), means=(means, "B K H W C"))
    return sum_slots(broadcast_channels(masks, means.shape[-1]) * means)[:, 0]


def log_likelihood(
    options: LikelihoodOptions, frame: Array, means: Array, masks: Array
) -> tuple[Array, Array]:
    """Log-likelihood log p(x|z) = Σ_i log Σ_k m_ik N(x_i; μ_ik, σ²) (Eq. 1, Eq. 6) per pixel i.

    Args:
      options: variance and kind of mixture.
      frame: x [B, H, W, C].
      means: μ [B, K, H, W, C].
      masks: m [B, K, H, W, 1].

    Returns:
      The slots' exponents [B, K, H, W, C], see ``slot_exponents``, and the terms of the sum over
      pixels [B, H, W], without the Gaussian's constant.
    """
    exponents = slot_exponents(frame, means, variance=options.variance)
    return exponents, mixture_log_likelihood(exponents, masks, mixture=options.mixture)


def slot_exponents(x: Array, means: Array, *, variance: float) -> Array:
    """−(x − μ)² / 2σ² of every slot and channel: [B, K, H, W, C] from x [B, H, W, C]."""
    check_shapes(frame=(x, "B H W C"), means=(means, "B K H W C"))
    return -((broadcast_slots(x[:, None], means.shape[1]) - means) ** 2) / (2.0 * variance)


def mixture_log_likelihood(exponents: Array, masks: Array, *, mixture: str) -> Array:
    """Log-likelihood log Σ_k m_k N(x; μ_k, σ²) of Eq. 1 without the Gaussian's constant.

    Args:
      exponents: [B, K, H, W, C] from ``slot_exponents``.
      masks: [B, K, H, W, 1].
      mixture: see ``LikelihoodOptions``.

    Returns:
      [B, H, W]. Add ``log_normalizer`` for a log-density.
    """
    if mixture == "pixel":
        exponents = sum_channels(exponents)
    top = lax.stop_gradient(exponents).max(axis=1)
    mixed = mix(masks, jnp.exp(exponents - top[:, None]))
    # A pixel that no slot with a positive mask explains must not become −∞, and its gradient, up to
    # β over the least value, not infinite.
    log_mixed = jnp.log(jnp.where(mixed > _LEAST, mixed, _LEAST)) + top
    return sum_channels(log_mixed)[..., 0]


def assigned_nll(
    options: LikelihoodOptions, exponents: Array, logits: Array, shares: Array
) -> Array:
    """An upper bound on −log p(x|z) in which pixels belong to given slots (not in the paper): [B].

    By Jensen's inequality −log Σ_k m_k N_k ≤ Σ_k q_k (log q_k − log m_k − log N_k), with equality
    where q is the posterior of the assignment.

    Args:
      options: the kind of mixture.
      exponents: log N without its constant, [B, K, H, W, C].
      logits: of the masks m, [B, K, H, W, 1].
      shares: q > 0 [B, K, H, W, 1], sum to one over slots.
    """
    mixtures = exponents.shape[-1] if options.mixture == "channel" else 1
    divergence = mixtures * (jnp.log(shares) - log_slot_masks(logits))
    return (shares * (divergence - sum_channels(exponents))).sum(axis=(1, 2, 3, 4))


def assignment(exponents: Array, logits: Array) -> Array:
    """The slot behind each pixel of a frame, p(k | x_i) ∝ m_ik N(x_i; μ_ik, σ²): [B, K, H, W, 1].

    Args:
      exponents: log N without its constant, [B, K, H, W, C].
      logits: of the masks m, [B, K, H, W, 1].
    """
    return slot_masks(logits + sum_channels(exponents))


def log_normalizer(*, variance: float, channels: int) -> float:
    """The constant of a pixel's log-density, −C/2 · log 2πσ², in nats."""
    return -0.5 * channels * math.log(2.0 * math.pi * variance)


def posterior_masks(exponents: Array, *, kind: str) -> Array:
    """Responsibility of each slot for each pixel, whatever its mask: [B, K, H, W, 1], sums to 1.

    "normalized": likelihood over the sum of likelihoods; "softmax": softmax of the likelihood
    values themselves (*authors' code*; nearly uniform: two slots differ by a factor of e at most).
    """
    log_likelihoods = sum_channels(exponents)
    if kind == "softmax":
        log_likelihoods = jnp.exp(log_likelihoods)
    return slot_masks(log_likelihoods)
