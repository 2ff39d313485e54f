"""The image likelihood: a spatial mixture of Gaussians (Eq. 1 and 6)."""

import math

import jax.numpy as jnp
from jax import lax

from stiid.kernels.slot_sums import spread, sum_over
from stiid.shapes import Array

MIXTURES = ("pixel", "channel")
POSTERIOR_MASKS = ("normalized", "softmax")
_LEAST = 1e-30


def slot_masks(logits: Array) -> Array:
    """Assignment probabilities m: softmax over slots of the logits [B, K, H, W, 1]."""
    return jnp.exp(log_slot_masks(logits))


def log_slot_masks(logits: Array) -> Array:
    """log m of ``slot_masks``, finite where m underflows: [B, K, H, W, 1]."""
    below = logits - lax.stop_gradient(logits).max(axis=1, keepdims=True)
    return below - spread(jnp.log(sum_over(jnp.exp(below), 1)), logits.shape[1], 1)


def slot_exponents(x: Array, means: Array, *, variance: float) -> Array:
    """−(x − μ)² / 2σ² of every slot and channel: [B, K, H, W, C] from x [B, H, W, C]."""
    return -((spread(x[:, None], means.shape[1], 1) - means) ** 2) / (2.0 * variance)


def mixture_log_likelihood(exponents: Array, masks: Array, *, mixture: str) -> Array:
    """log Σ_k m_k N(x; μ_k, σ²) without the Gaussian's constant.

    Args:
      exponents: [B, K, H, W, C] from ``slot_exponents``.
      masks: [B, K, H, W, 1].
      mixture: "pixel": one mixture per pixel, as Eq. 1 reads; "channel": one per color channel,
        their logarithms added, as in the implementation that the paper builds on.

    Returns:
      [B, H, W]. Add ``log_normalizer`` for a log-density.
    """
    if mixture == "pixel":
        exponents = sum_over(exponents, -1)
    top = lax.stop_gradient(exponents).max(axis=1, keepdims=True)
    mixed = sum_over(spread(masks, exponents.shape[-1], -1) * jnp.exp(exponents - top), 1)
    # A pixel that no slot with a positive mask explains must not become −∞, and its gradient, up to
    # β over the least value, not infinite.
    log_mixed = jnp.log(jnp.where(mixed > _LEAST, mixed, _LEAST)) + top
    return sum_over(log_mixed, -1)[:, 0, :, :, 0]


def log_normalizer(*, variance: float, channels: int) -> float:
    """The constant of a pixel's log-density, −C/2 · log 2πσ², in nats."""
    return -0.5 * channels * math.log(2.0 * math.pi * variance)


def posterior_masks(exponents: Array, *, kind: str) -> Array:
    """How well each slot explains each pixel, whatever its mask: [B, K, H, W, 1], sums to one.

    "normalized": likelihood over the sum of likelihoods; "softmax": softmax of the likelihood
    values themselves, as in the implementation that the paper builds on (near uniform: two slots
    differ by a factor of e at most).
    """
    log_likelihoods = sum_over(exponents, -1)
    if kind == "softmax":
        log_likelihoods = jnp.exp(log_likelihoods)
    return slot_masks(log_likelihoods)


def reconstruct(masks: Array, means: Array) -> Array:
    """x̃ = Σ_k m_k μ_k: [B, H, W, C]."""
    return sum_over(spread(masks, means.shape[-1], -1) * means, 1)[:, 0]
