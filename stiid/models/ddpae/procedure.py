"""DDPAE's inference of motion and content, and its evidence lower bound.

Shapes: B videos, T given frames, P predicted ones, N components, E code of a frame, H state of an
LSTM, Z content. A pose is (scale, x, y), see ``transformer``.

An LSTM along the frames reads the motion of component i. At each frame, it also sees the state of
component i − 1 there. This chain, not noise, makes the components differ.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import jax.numpy as jnp
from jax import lax

from stiid.shapes import Array

State = tuple[Array, Array]
LSTM = Callable[[Array, State], State]  # inputs [B, I] and (h, c), each [B, H] → next (h, c)


class Normal(NamedTuple):
    """A diagonal Gaussian."""

    mean: Array
    deviation: Array


_T = TypeVar("_T")


class LatentGroups(NamedTuple, Generic[_T]):
    """A value (``Normal``, sample, or noise) for each group of latent variables."""

    transitions: _T  # β [B, T + P, N, 3], change of the pose from frame to frame
    initial: _T  # [B, N, 3], pose that the changes start from
    content: _T  # z [B, N, Z], appearance, the same in all frames


def read_frames(
    lstm: LSTM, codes: Array, *, num_components: int, hidden: int
) -> tuple[Array, State]:
    """States of all components at all given frames.

    Args:
      lstm: sees the code of a frame and the state of the component before, [B, E + H].
      codes: of the frames, [B, T, E].
      num_components: N.
      hidden: H.

    Returns:
      States [N, T, B, H], and the last state and cell of each component, [N, B, H] each.
    """
    codes = jnp.swapaxes(codes, 0, 1)
    zeros = jnp.zeros((codes.shape[1], hidden))

    def component(before: Array, _: None) -> tuple[Array, tuple[Array, State]]:
        inputs = jnp.concatenate([codes, before], axis=-1)
        last, states = lax.scan(lambda s, x: _keep(lstm(x, s)), (zeros, zeros), inputs)
        return states, (states, last)

    start = jnp.zeros((len(codes), *zeros.shape))
    return lax.scan(component, start, None, length=num_components)[1]


def foresee(lstm: LSTM, last: State, *, num_predicted: int, chain: bool) -> Array:
    """States of all components at the predicted frames.

    Args:
      lstm: sees its own last output and, in a chain, the state of the component before at the
        predicted frame, [B, 2H]; without a chain [B, H].
      last: state and cell at the last given frame, [N, B, H] each.
      num_predicted: P.
      chain: whether components see each other.

    Returns:
      [N, P, B, H].
    """

    def component(before: Array, last: State) -> tuple[Array, Array]:
        def step(state: State, neighbor: Array) -> tuple[State, Array]:
            inputs = jnp.concatenate([state[0], neighbor], axis=-1) if chain else state[0]
            return _keep(lstm(inputs, state))

        states = lax.scan(step, last, before)[1]
        return states, states

    return lax.scan(component, jnp.zeros((num_predicted, *last[0].shape[1:])), last)[1]


def summarize(lstm: LSTM, sequence: Array, *, hidden: int) -> Array:
    """All states of an LSTM along a sequence: [S, …, I] → [S, …, H]."""
    zeros = jnp.zeros((*sequence.shape[1:-1], hidden))
    return lax.scan(lambda s, x: _keep(lstm(x, s)), (zeros, zeros), sequence)[1]


def _keep(state: State) -> tuple[State, Array]:
    return state, state[0]


def poses(transitions: Array, initial: Array, *, scale: float) -> Array:
    """Pose at each frame: the initial pose plus all changes up to the frame, within bounds.

    The scale stays within 1 of its prior mean. x and y keep the component's center inside the
    frame, by at least a quarter of the component's own size.

    Args:
      transitions: β [B, T + P, N, 3]; the first frame's is included.
      initial: [B, N, 3].
      scale: prior mean of the scale.

    Returns:
      [B, T + P, N, 3].
    """
    free = initial[:, None] + jnp.cumsum(transitions, axis=1)
    bounded = jnp.clip(free[..., :1], scale - 1.0, scale + 1.0)
    return jnp.concatenate([bounded, jnp.tanh(free[..., 1:]) * (bounded - 0.5)], axis=-1)


def compose(components: Array) -> Array:
    """Add up components, to white at most: [B, T, N, H, W, C] → [B, T, H, W, C]."""
    return jnp.minimum(components.sum(2), 1.0)


def prior(scale: float) -> LatentGroups[Normal]:
    """Prior of latents: z ~ N(0, 1), β ~ N(0, 0.1), initial pose ~ N((s, 0, 0), (0.2, 1, 1))."""
    mean, deviation = jnp.array([scale, 0.0, 0.0]), jnp.array([0.2, 1.0, 1.0])
    one = jnp.ones(1)
    return LatentGroups(
        transitions=Normal(0.0 * one, 0.1 * one),
        initial=Normal(mean, deviation),
        content=Normal(0.0 * one, one),
    )


def sample(posterior: Normal, noise: Array) -> Array:
    """Sample a Gaussian: mean + deviation · noise."""
    return posterior.mean + posterior.deviation * noise


def log_ratio(posterior: Normal, prior: Normal, value: Array) -> Array:
    """Log-density ratio log q − log p of a sample, summed over its last axis."""
    return (_log_density(posterior, value) - _log_density(_like(prior, value), value)).sum(-1)


def divergence(posterior: Normal, prior: Normal) -> Array:
    """KL(q ‖ p), summed over the last axis."""
    prior = _like(prior, posterior.mean)
    ratio = posterior.deviation / prior.deviation
    distance = (posterior.mean - prior.mean) / prior.deviation
    return (0.5 * (ratio**2 + distance**2 - 1.0) - jnp.log(ratio)).sum(-1)


def _log_density(normal: Normal, value: Array) -> Array:
    """Log-density without the constant −½ log 2π, which cancels in a ratio."""
    return -0.5 * ((value - normal.mean) / normal.deviation) ** 2 - jnp.log(normal.deviation)


def _like(normal: Normal, value: Array) -> Normal:
    return Normal(*(jnp.broadcast_to(x, value.shape) for x in normal))


def squared_errors(output: Array, frames: Array) -> Array:
    """Sum over pixels and channels of each frame: [B, T]."""
    return jnp.square(output - frames).sum(axis=(2, 3, 4))
