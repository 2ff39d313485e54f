"""A first posterior for each slot from a frame's pixels, before refinement (not in the paper).

If slots differ by noise alone at the start of inference, one slot may end up with two objects. Here
each slot starts from its own pixel of frame 0, a *seed*, which looks unlike the seeds of all slots
before it. In later frames, a slot starts from the pixels that look like what it showed before; one
that finds nothing of that gets a new seed, if something has entered that nobody covers. Slots that
find nothing new stay empty.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from stiid.kernels.conv import Conv
from stiid.kernels.elu import elu
from stiid.nn.positions import positions
from stiid.shapes import Array, Gaussian

_BREADTH = 6.0  # ratio of squared distances: what a seed covers to what a slot takes
_SHIFTS = 3  # mean-shift steps of a seed
_GATE = 0.5  # least uncovered part of a pixel that gets a seed in frame 0
_ENTERED = 0.9  # likewise in later frames, where what is there has rims that are covered less
_FOUND = 0.01  # least share of its best pixel, for a slot that finds something
_SAME = 2.0  # squared distance up to which two bumps exp(−|e − query|²) have one peak
_NOWHERE = 100.0  # query of a slot without a seed: far from all pixels
_LEAST_SHARE = 1e-3
_LEAST = 1e-6
_INERTIA = 0.1  # pixels: a slot that shows less than this hardly moves


class Taken(NamedTuple):
    """The division of a frame among the slots."""

    delta: Gaussian  # added to the learned λ [B, K, D]
    shares: Array  # [B, K, H, W, 1] shares of the slots in each pixel; sum to one
    queries: Array  # [B, K, E] what each slot looked for
    embedding: Array  # [B, H, W, E] of pixels


class Seeds(nn.Module):
    """A frame → the posterior that each slot starts from.

    A pixel's embedding has three parts: its color; its place, scaled by how much its color differs
    from the frame's median; and features of a few convolutions, which are small at first. Slot k
    takes a share exp(−|e_i − query_k|²) of pixel i; if the shares sum to more than one, they are
    divided by their sum. An MLP turns the mean color, place and features of what the slot took into
    its posterior. See ``sow`` for the queries of frame 0.

    Attributes:
      latent_size: D.
      features: width of the convolutions and of the MLP.
      layers: convolutions, 3×3.
      size: number of learned features in the embedding.
      scale: initial scale of colors and places. With 5, half of a pixel's share remains at a
        distance of a sixth.
    """

    latent_size: int
    features: int = 32
    layers: int = 3
    size: int = 8
    scale: float = 5.0

    @nn.compact
    def __call__(self, frame: Array, queries: Array | int) -> Taken:
        """Divide a frame among the slots.

        Args:
          frame: [B, H, W, C].
          queries: [B, K, E], from ``follow`` at the frame before, or the number K in frame 0.
        """
        batch, height, width, channels = frame.shape
        grid = jnp.broadcast_to(positions(height, width), (batch, height, width, 2))
        x = jnp.concatenate([frame, grid], -1)
        for i in range(self.layers):
            x = elu(Conv(self.features, name=f"conv_{i}")(x))
        pixels = jnp.concatenate([frame, grid, x], -1).reshape(batch, height * width, -1)
        colors, places, features = jnp.split(pixels, [channels, channels + 2], -1)
        scales = self.param("scales", nn.initializers.constant(self.scale), (2,))
        learned = 0.1 * nn.Dense(self.size, name="embedding")(features)
        contrast = colors - jnp.median(colors, axis=1, keepdims=True)
        contrast = jnp.abs(contrast).max(-1, keepdims=True)
        parts = [scales[0] * colors, scales[1] * contrast * places, learned]
        embedding = jnp.concatenate(parts, -1)
        if isinstance(queries, int):
            seeds = sow(embedding, queries)
            queries = _mean(embedding, take(embedding, seeds), seeds)
        else:
            queries = enter(embedding, queries)
        taken = take(embedding, queries)
        areas = taken.sum(2)[..., None]
        means = taken @ pixels / (areas + _LEAST)
        x = jnp.concatenate([means, jnp.log(areas / (height * width) + _LEAST_SHARE)], -1)
        x = elu(nn.Dense(2 * self.features, name="hidden")(x))
        delta = nn.Dense(2 * self.latent_size, name="out")(x)
        shares = (taken + _LEAST) / (taken + _LEAST).sum(1, keepdims=True)
        return Taken(
            Gaussian(*jnp.split(delta, 2, -1)),
            shares.reshape(batch, -1, height, width, 1),
            queries,
            embedding.reshape(batch, height, width, -1),
        )


def sow(embedding: Array, num_slots: int) -> Array:
    """Choose queries around pixels that are unlike each other: [B, N, E] → [B, K, E].

    The first seed is the pixel nearest to the mean of all, usually in the background. Each further
    seed is the pixel that those before it cover least. A seed moves to the mean of the pixels near
    it that are not covered yet (mean shift). A seed that moves to an earlier one counts as none.
    Once all pixels are covered, remaining slots get no seed.
    """
    left, queries = jnp.ones(embedding.shape[:2]), list[Array]()
    seed = ((embedding - embedding.mean(1, keepdims=True)) ** 2).sum(-1).argmin(1)
    for _ in range(num_slots):
        pixel = jnp.take_along_axis(embedding, seed[:, None, None], axis=1)
        needed = jnp.take_along_axis(left, seed[:, None], axis=1)[..., None] > _GATE
        query = _shifted(embedding, pixel, left)
        for earlier in queries:
            needed &= ((query - earlier) ** 2).sum(-1, keepdims=True) > _SAME
        queries.append(jnp.where(needed, query, _NOWHERE))
        seen = jnp.where(needed, query, pixel)
        left = left * (1.0 - _likeness(embedding, seen, breadth=_BREADTH)[:, 0])
        seed = left.argmax(1)
    return jnp.concatenate(queries, 1)


def enter(embedding: Array, queries: Array) -> Array:
    """Give one slot that finds nothing a seed, if a pixel is hardly covered: [B, K, E].

    Other slots that find nothing look for nothing, and wait for the next frame.

    Args:
      embedding: of pixels, [B, N, E].
      queries: [B, K, E]; no gradient enters them from a seed.
    """
    embedding = lax.stop_gradient(embedding)
    idle = _likeness(embedding, queries).max(2, keepdims=True) < _FOUND
    queries = jnp.where(idle, _NOWHERE, queries)
    covered = _likeness(embedding, lax.stop_gradient(queries), breadth=_BREADTH)
    left = (1.0 - covered).prod(1)
    pixel = jnp.take_along_axis(embedding, left.argmax(1)[:, None, None], axis=1)
    query = _shifted(embedding, pixel, left)
    apart = ((query - queries) ** 2).sum(-1).min(1) > _SAME
    needed = (left.max(1) > _ENTERED) & apart
    first = idle & (jnp.cumsum(idle, axis=1) == 1)
    return jnp.where(first & needed[:, None, None], query, queries)


def take(embedding: Array, queries: Array) -> Array:
    """Shares that slots take of pixels: [B, N, E], [B, K, E] → [B, K, N]; sums are at most 1."""
    wanted = _likeness(embedding, queries)
    return wanted / jnp.maximum(wanted.sum(1, keepdims=True), 1.0)


def follow(taken: Taken, masks: Array) -> Array:
    """Queries for the next frame: the mean embedding of what slots show in this one, [B, K, E].

    Args:
      taken: from this frame.
      masks: after refinement, [B, K, H, W].
    """
    weights = masks.reshape(*masks.shape[:2], -1)
    embedding = taken.embedding.reshape(len(weights), -1, taken.embedding.shape[-1])
    return _mean(embedding, weights, taken.queries)


def _shifted(embedding: Array, query: Array, left: Array) -> Array:
    """A query [B, 1, E] moved to the mean of the uncovered pixels near it (mean shift)."""
    for _ in range(_SHIFTS):
        query = _mean(embedding, left[:, None] * _likeness(embedding, query), query)
    return query


def _mean(embedding: Array, weights: Array, before: Array) -> Array:
    """Means of [B, N, E] by weights [B, K, N]; with small weights they stay near ``before``."""
    return (weights @ embedding + _INERTIA * before) / (weights.sum(2)[..., None] + _INERTIA)


def _likeness(embedding: Array, queries: Array, *, breadth: float = 1.0) -> Array:
    """exp(−|e_i − query_k|² / breadth): [B, K, N]."""
    return jnp.exp(-((embedding[:, None] - queries[:, :, None]) ** 2).sum(-1) / breadth)
