"""SAVi's recursion along the frames of a video, and its roll-out.

    frame 0:  predicted slots = the start           (``starts``)
    frame t:  corrected = corrector(predicted, frame t)
              predicted = predictor(corrected)      of frame t + 1
    beyond:   corrected = predicted                 without a frame, nothing is corrected

The corrected slots of a frame are decoded.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from stiid.shapes import Array


class Steps(NamedTuple):
    """The two updates of slots [B, K, S] in a frame."""

    correct: Callable[[Array, Array, int], Array]  # slots, inputs [B, P, F], iterations
    predict: Callable[[Array], Array]


class SaviLoss(NamedTuple):
    """The loss of each video: squared errors, summed over frames, pixels and channels."""

    total: Array  # [B]
    nll: Array  # [B] the same: that of a Gaussian with variance ½, without its constant
    kl: Array  # [B] zero: slots are points
    mse: Array  # [B] mean over frames, pixels and channels


def observe(
    steps: Steps, slots: Array, inputs: Array, *, first_iterations: int, iterations: int
) -> tuple[Array, Array]:
    """Run along a video.

    Args:
      steps: see ``Steps``.
      slots: predicted for the first frame, [B, K, S].
      inputs: of all frames, [T, B, P, F].
      first_iterations: of the corrector in the first frame, where slots know the least.
      iterations: of the corrector in the others.

    Returns:
      The corrected slots [T, B, K, S], and those predicted for the frame after the last, [B, K, S].
    """
    first = steps.correct(slots, inputs[0], first_iterations)

    def step(predicted: Array, frame: Array) -> tuple[Array, Array]:
        corrected = steps.correct(predicted, frame, iterations)
        return steps.predict(corrected), corrected

    predicted, later = lax.scan(step, steps.predict(first), inputs[1:])
    return jnp.concatenate([first[None], later]), predicted


def simulate(steps: Steps, predicted: Array, *, num_frames: int) -> Array:
    """Simulate frames: predict without correction.

    Args:
      steps: see ``Steps``.
      predicted: slots of the first simulated frame, [B, K, S].
      num_frames: how many.

    Returns:
      The slots of the simulated frames, [num_frames, B, K, S].
    """

    def step(predicted: Array, _: None) -> tuple[Array, Array]:
        return steps.predict(predicted), predicted

    return lax.scan(step, predicted, None, length=num_frames)[1]


def loss(reconstruction: Array, frames: Array) -> SaviLoss:
    """Squared errors of a reconstruction.

    Args:
      reconstruction: [B, T, H, W, C].
      frames: in [0, 1], likewise.
    """
    total = jnp.square(reconstruction - frames).sum(axis=(1, 2, 3, 4))
    return SaviLoss(total=total, nll=total, kl=jnp.zeros_like(total), mse=total / frames[0].size)
