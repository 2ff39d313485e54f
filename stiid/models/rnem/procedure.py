"""R-NEM's generalized expectation maximization, frame by frame, and its roll-out.

Step t takes a noisy frame t and predicts frame t + 1 with each slot. Then the E-step divides the
pixels of the *clean* frame t + 1 among the slots. So the responsibilities γ (``shares``) of a frame
use that frame, and the predictions μ do not.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiid.shapes import Array

_EPSILON = 1e-6
_LIT = 0.1  # a simulated pixel is on where some slot predicts more than this

# The network: what each slot sees [B, K, H, W, C] and its hidden state [B, K, M]
# → its prediction [B, K, H, W, C] and its next hidden state.
Network = Callable[[Array, Array], tuple[Array, Array]]


class Slots(NamedTuple):
    """The state of the slots at a frame."""

    hidden: Array  # [B, K, M]
    means: Array  # μ [B, K, H, W, C], prediction of this frame
    shares: Array  # γ [B, K, H, W, 1], sums to 1 over K


class RnemLoss(NamedTuple):
    """The loss of each video, mean over its T − 1 predicted frames, summed over pixels; nats."""

    total: Array  # [B]
    nll: Array  # [B] intra-cluster: cross entropy of each slot's own pixels
    kl: Array  # [B] inter-cluster: KL(off ‖ μ) of all other pixels
    upper_bound: Array  # [B] both, of the brightest slot at each pixel, without any E-step
    mse: Array  # [B] of Σ γ μ, mean over pixels and channels


def start(noise: Array, *, hidden_size: int, channels: int) -> Slots:
    """Initialize the slots: no prediction, and random responsibilities.

    Args:
      noise: standard normal [B, K, H, W, 1].
      hidden_size: M.
      channels: C.
    """
    batch, slots, height, width, _ = noise.shape
    shares = jnp.abs(noise)
    return Slots(
        hidden=jnp.zeros((batch, slots, hidden_size)),
        means=jnp.zeros((batch, slots, height, width, channels)),
        shares=shares / shares.sum(1, keepdims=True) if slots > 1 else jnp.ones_like(shares),
    )


def flip_bits(frame: Array, flips: Array) -> Array:
    """Replace x by 1 − x where ``flips`` is 1."""
    return frame + flips - 2.0 * frame * flips


def share_pixels(means: Array, frame: Array) -> Array:
    """E-step: γ ∝ p(x | μ_k), summed over channels (as the original does for C > 1).

    Args:
      means: [B, K, H, W, C].
      frame: [B, H, W, C].

    Returns:
      [B, K, H, W, 1].
    """
    frame = frame[:, None]
    likelihood = (frame * means + (1.0 - frame) * (1.0 - means)).sum(-1, keepdims=True) + _EPSILON
    return likelihood / likelihood.sum(1, keepdims=True)


def reconstruct(slots: Slots) -> Array:
    """Σ_k γ_k μ_k: [B, H, W, C]."""
    return (slots.shares * slots.means).sum(1)


def observe(network: Network, slots: Slots, frames: Array, flips: Array) -> Slots:
    """Run along a video.

    Args:
      network: see ``Network``.
      slots: of frame 0.
      frames: clean, [T, B, H, W, C].
      flips: 0 or 1, [T − 1, B, H, W, C].

    Returns:
      The slots of frames 1 … T − 1, time first.
    """

    def step(slots: Slots, inputs: tuple[Array, Array, Array]) -> tuple[Slots, Slots]:
        frame, flip, following = inputs
        hidden, means = _predict(network, slots, flip_bits(frame, flip))
        slots = Slots(hidden, means, share_pixels(means, following))
        return slots, slots

    return lax.scan(step, slots, (frames[:-1], flips, frames[1:]))[1]


def simulate(network: Network, slots: Slots, flips: Array) -> Slots:
    """Simulate from the slots of the last frame, with their own Σ γ μ as next input.

    For the E-step, a pixel is on if any slot predicts more than 0.1.

    Args:
      network: see ``Network``.
      slots: of the last observed frame.
      flips: 0 or 1, [frames, B, H, W, C].

    Returns:
      The slots of the simulated frames, time first.
    """

    def step(slots: Slots, flip: Array) -> tuple[Slots, Slots]:
        hidden, means = _predict(network, slots, flip_bits(reconstruct(slots), flip))
        truth = (means.max(1) > _LIT).astype(means.dtype)
        slots = Slots(hidden, means, share_pixels(means, truth))
        return slots, slots

    return lax.scan(step, slots, flips)[1]


def _predict(network: Network, slots: Slots, frame: Array) -> tuple[Array, Array]:
    """Next hidden state and prediction, from the errors on the pixels that a slot owns."""
    seen = (frame[:, None] - slots.means) * lax.stop_gradient(slots.shares)
    means, hidden = network(seen, slots.hidden)
    return hidden, means


def loss(slots: Slots, frames: Array, *, inter_weight: float) -> RnemLoss:
    """Loss: cross entropy on a slot's own pixels, and KL divergence from black elsewhere.

    Args:
      slots: of frames 1 … T − 1, time first.
      frames: those frames, [T − 1, B, H, W, C].
      inter_weight: of the inter-cluster term.
    """
    shares = lax.stop_gradient(slots.shares)
    pixels = (-3, -2, -1)
    own = (shares * _cross_entropy(slots.means, frames[:, :, None])).sum(pixels).sum(-1).mean(0)
    other = ((1.0 - shares) * _darkness(slots.means)).sum(pixels).sum(-1).mean(0)
    brightest = slots.means.max(2)
    bound = _cross_entropy(brightest, frames) + inter_weight * _darkness(brightest)
    error = (jax.vmap(reconstruct)(slots) - frames) ** 2
    return RnemLoss(
        total=own + inter_weight * other,
        nll=own,
        kl=other,
        upper_bound=bound.sum(pixels).mean(0),
        mse=error.mean(axis=(0, 2, 3, 4)),
    )


def _cross_entropy(means: Array, frame: Array) -> Array:
    means = jnp.clip(means, _EPSILON, 1.0 - _EPSILON)
    return -(frame * jnp.log(means) + (1.0 - frame) * jnp.log(1.0 - means))


def _darkness(means: Array) -> Array:
    """KL(Bernoulli(0) ‖ Bernoulli(μ))."""
    return -jnp.log(jnp.maximum(1.0 - means, _EPSILON))
