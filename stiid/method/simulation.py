"""Simulation by a prior that sees all slots, and what it learns from (not in the paper).

With ``simulation_start="relational"`` slots are where their masks have their centers. The prior
(``nn.relational``) predicts the places of the next frames, each from those of the frames before,
simulated ones too, and moves the last posterior means there. Decoding them gives the simulated
frames: the refinement network, which has no image to refine towards, has no part in it, and the
temporal hidden state stays that of the last observed frame. Inference does not use this prior: a
decomposition is the same with and without it.
"""

import jax
import jax.numpy as jnp
from jax import lax

from stiid.method.networks import SlotModel
from stiid.method.options import Options
from stiid.method.refinement import FrameResult, FrameStart, RefinementOptions, Terms, score
from stiid.shapes import Array, Gaussian, Params, check_shapes

_SOFT = 1e-3  # of a distance, whose gradient at 0 is then 0


def places_of(masks: Array) -> tuple[Array, Array]:
    """Where slots are, and how large.

    Args:
      masks: [..., K, H, W]; a pixel belongs to the slot with the largest.

    Returns:
      Centers (x, y) [..., K, 2] of −1 … 1 in an image, 0 of what has no pixels; and the fractions
      [..., K] of the image's pixels.
    """
    *_, slots, height, width = masks.shape
    owned = jax.nn.one_hot(masks.argmax(-3), slots, axis=-3)
    areas = owned.sum((-2, -1))
    x, y = ((2.0 * jnp.arange(size) + 1.0) / size - 1.0 for size in (width, height))
    sums = jnp.stack([owned.sum(-2) @ x, owned.sum(-1) @ y], -1)
    return sums / jnp.maximum(areas, 1.0)[..., None], areas / (height * width)


def mean_sizes(areas: Array) -> Array:
    """Sizes of slots over the frames in which they are not empty: [T, B, K] → [B, K]."""
    return areas.sum(0) / jnp.maximum((areas > 0.0).sum(0), 1)


def roll_out(
    model: SlotModel[Options], params: Params, places: Array, sizes: Array, *, num_frames: int
) -> Array:
    """The next places of slots, each predicted from those before it: [T', B, K, 2].

    Args:
      model: its motion.
      params: with those of the relational prior.
      places: [T, B, K, 2] so far. If the prior sees more frames than that, slots are taken to have
        moved in a line before.
      sizes: [B, K]; what is empty, 0, stays where it is.
      num_frames: T'.
    """
    check_shapes(places=(places, "T B K 2"), sizes=(sizes, "B K"))
    window = model.motion.window
    missing = jnp.arange(window - len(places), 0, -1).reshape(-1, 1, 1, 1)
    before = places[:1] - missing * (places[1:2] - places[:1] if len(places) > 1 else 0.0)
    past = jnp.concatenate([before, places])[-window:]

    def step(past: Array, _: None) -> tuple[Array, Array]:
        following = model.predict_places(params, jnp.swapaxes(past, 0, 1), sizes)
        following = jnp.where(sizes[..., None] > 0.0, following, past[-1])
        return jnp.concatenate([past[1:], following[None]]), following

    return lax.scan(step, past, length=num_frames)[1]


def roll_out_errors(
    model: SlotModel[Options], params: Params, places: Array, sizes: Array, *, num_frames: int
) -> Array:
    """Mean distances of predicted from true places, in half images: [T'].

    Distances, not squares: what a late collision changes must not outweigh all else.

    Args:
      model: its motion.
      params: with those of the relational prior.
      places: [T, B, K, 2], of which the last T' are predicted from those before them.
      sizes: [B, K]; what is empty does not count.
      num_frames: T'.
    """
    seen = len(places) - num_frames
    predicted = roll_out(model, params, places[:seen], sizes, num_frames=num_frames)
    squares = ((predicted - places[seen:]) ** 2).sum(-1)
    present = (sizes > 0.0)[None]
    return (present * jnp.sqrt(squares + _SOFT**2)).sum((1, 2)) / jnp.maximum(present.sum(), 1)


def simulate(
    model: SlotModel[RefinementOptions],
    params: Params,
    start: FrameStart,
    masks: Array,
    noise: Array,
) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
    """Simulate frames by the relational prior.

    Args:
      model: networks and options.
      params: of all of them.
      start: where inference of the next frame would start.
      masks: [T, B, K, H, W] of all observed frames.
      noise: ε [T', B, K, D] of each frame's z, with the last posterior's variance.

    Returns:
      The start after them; terms, leaves [T', 1, …], and results of the frames, [T', …].
    """
    check_shapes(masks=(masks, "T B K H W"), noise=(noise, "S B K D"))
    places, areas = places_of(masks)
    last, here = start.last, places[-1]

    def step(start: FrameStart, inputs: tuple[Array, Array]) -> tuple[FrameStart, tuple]:
        there, noise = inputs
        z = model.move(params, last.mean, here, there)
        prior = Gaussian(z, last.log_var)
        start = start._replace(posterior=prior, last=prior, prior=prior)
        terms, result = score(model, params, prior, start, None, noise)
        return start, (jax.tree.map(lambda x: x[None], terms), result)

    there = roll_out(model, params, places, mean_sizes(areas), num_frames=len(noise))
    return lax.scan(step, start, (there, noise))
