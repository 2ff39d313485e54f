"""A first posterior for each slot from a frame's pixels, before refinement (not in the paper).

If slots differ by noise alone at the start of inference, one slot may end up with two objects. Here
each slot starts from its own pixel of frame 0, a *seed*, which looks unlike the seeds of all slots
before it. In later frames, a slot starts from the pixels that look like what it showed before; one
that finds nothing of that gets a new seed, if something that nobody covers has entered. Slots that
find nothing new stay empty.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

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
            queries = jnp.full((batch, queries, embedding.shape[-1]), _NOWHERE)
        seeds = sow(embedding, queries)
        around = _mean(embedding, take(embedding, seeds), seeds)
        queries = jnp.where(_idle(embedding, queries), around, queries)
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


def sow(embedding: Array, queries: Array) -> Array:
    """Give seeds to slots that find nothing: [B, N, E], [B, K, E] → [B, K, E]; others stay.

    If no slot finds anything, as in frame 0, the first seed is the pixel nearest to the mean of
    all, usually in the background. Each further seed is the pixel that slots and seeds cover least.
    A seed moves to the mean of the pixels near it that are not covered yet (mean shift). One that
    moves to another slot's query counts as none. Once all pixels are covered, remaining slots get
    no seed.
    """
    idle = _idle(embedding, queries)
    queries = jnp.where(idle, _NOWHERE, queries)
    left = (1.0 - _likeness(embedding, queries, breadth=_BREADTH)).prod(1)
    middle = ((embedding - embedding.mean(1, keepdims=True)) ** 2).sum(-1).argmin(1)
    new = idle.all((1, 2))
    seed = jnp.where(new, middle, left.argmax(1))
    gate = jnp.where(new, _GATE, _ENTERED)[:, None, None]
    for k in range(queries.shape[1]):
        query = pixel = jnp.take_along_axis(embedding, seed[:, None, None], axis=1)
        needed = jnp.take_along_axis(left, seed[:, None], axis=1)[..., None] > gate
        for _ in range(_SHIFTS):
            query = _mean(embedding, left[:, None] * _likeness(embedding, query), query)
        apart = ((query - queries) ** 2).sum(-1, keepdims=True).min(1, keepdims=True) > _SAME
        free, needed = idle[:, k : k + 1], needed & apart
        queries = queries.at[:, k : k + 1].set(
            jnp.where(free & needed, query, queries[:, k : k + 1])
        )
        seen = jnp.where(needed, query, pixel)
        covered = _likeness(embedding, seen, breadth=_BREADTH)[:, 0]
        left = jnp.where(free[..., 0], left * (1.0 - covered), left)
        seed = left.argmax(1)
    return queries


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


def _idle(embedding: Array, queries: Array) -> Array:
    """Whether a slot finds nothing: bool [B, K, 1]."""
    return _likeness(embedding, queries).max(2, keepdims=True) < _FOUND


def _mean(embedding: Array, weights: Array, before: Array) -> Array:
    """Means of [B, N, E] by weights [B, K, N]; with small weights they stay near ``before``."""
    return (weights @ embedding + _INERTIA * before) / (weights.sum(2)[..., None] + _INERTIA)


def _likeness(embedding: Array, queries: Array, *, breadth: float = 1.0) -> Array:
    """exp(−|e_i − query_k|² / breadth): [B, K, N]."""
    return jnp.exp(-((embedding[:, None] - queries[:, :, None]) ** 2).sum(-1) / breadth)
