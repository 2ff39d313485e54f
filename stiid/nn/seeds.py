"""What slots take of a frame before it is refined: a posterior from its pixels (not in the paper).

Slots that differ by noise alone when inference starts may leave two objects to one of them. Here
each starts from a pixel of its own in frame 0, a *seed*, which looks unlike those of all slots
before it, and follows in later frames what looks like what it showed. Slots that find nothing new
stay empty.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import Conv
from stiid.kernels.elu import elu
from stiid.nn.positions import positions
from stiid.shapes import Array, Gaussian

_SCALE = 5.0  # of colors and places at first: half of a pixel's share goes at a distance of a sixth
_BREADTH = 6.0  # of what a seed covers, in squared distances, over that of what a slot takes
_SHIFTS = 3  # of a seed to the mean of what is near
_GATE = 0.5  # a pixel that is less in need of a seed than this gets none
_NOWHERE = 100.0  # where a slot without a seed looks: nothing is near
_LEAST_SHARE = 1e-3
_LEAST = 1e-6
_INERTIA = 0.1  # pixels: a slot that shows less than this hardly moves


class Taken(NamedTuple):
    """What slots take of a frame."""

    delta: Gaussian  # added to the learned λ [B, K, D]
    shares: Array  # [B, K, H, W, 1] of slots in what was taken of each pixel, sum to one
    queries: Array  # [B, K, E] what each looked for
    embedding: Array  # [B, H, W, E] of pixels


class Seeds(nn.Module):
    """A frame → what each slot's posterior starts from.

    Pixels are embedded by their color, their place, the more the more their color differs from the
    frame's median, and a few convolutions, which at first say little. Slot k takes a share
    exp(−|e_i − query_k|²) of pixel i, less where others want it too, and an MLP turns the mean of
    what it took, color, place and features, into its posterior. See ``sow`` for the queries of
    frame 0.

    Attributes:
      latent_size: D.
      features: width of the convolutions and of the MLP.
      layers: convolutions, 3×3.
      size: of the embedding's learned part.
    """

    latent_size: int
    features: int = 32
    layers: int = 3
    size: int = 8

    @nn.compact
    def __call__(self, frame: Array, queries: Array | int) -> Taken:
        """Take a frame apart.

        Args:
          frame: [B, H, W, C].
          queries: [B, K, E] of the frame before, or K in frame 0.
        """
        batch, height, width, channels = frame.shape
        grid = jnp.broadcast_to(positions(height, width), (batch, height, width, 2))
        x = jnp.concatenate([frame, grid], -1)
        for i in range(self.layers):
            x = elu(Conv(self.features, name=f"conv_{i}")(x))
        pixels = jnp.concatenate([frame, grid, x], -1).reshape(batch, height * width, -1)
        colors, places, features = jnp.split(pixels, [channels, channels + 2], -1)
        scales = self.param("scales", nn.initializers.constant(_SCALE), (2,))
        learned = 0.1 * nn.Dense(self.size, name="embedding")(features)
        contrast = colors - jnp.median(colors, axis=1, keepdims=True)
        contrast = jnp.abs(contrast).max(-1, keepdims=True)
        parts = [scales[0] * colors, scales[1] * contrast * places, learned]
        embedding = jnp.concatenate(parts, -1)
        if isinstance(queries, int):
            seeds = sow(embedding, queries)
            queries = _mean(embedding, take(embedding, seeds), seeds)
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
    """Queries around pixels that are unlike each other: [B, N, E] → [B, K, E].

    The first seed is the pixel nearest to the mean of all, mostly of the background; each other one
    is the pixel that those before it cover least. A seed moves to the mean of what is near it and
    not covered yet (mean shift). Where all pixels are covered, slots that remain get none.
    """
    left, queries = jnp.ones(embedding.shape[:2]), []
    seed = ((embedding - embedding.mean(1, keepdims=True)) ** 2).sum(-1).argmin(1)
    for _ in range(num_slots):
        query = jnp.take_along_axis(embedding, seed[:, None, None], axis=1)
        needed = jnp.take_along_axis(left, seed[:, None], axis=1)[..., None] > _GATE
        for _ in range(_SHIFTS):
            query = _mean(embedding, left[:, None] * _likeness(embedding, query), query)
        queries.append(jnp.where(needed, query, _NOWHERE))
        left = left * (1.0 - _likeness(embedding, queries[-1], breadth=_BREADTH)[:, 0])
        seed = left.argmax(1)
    return jnp.concatenate(queries, 1)


def take(embedding: Array, queries: Array) -> Array:
    """What slots take of pixels: [B, N, E] and [B, K, E] → [B, K, N], at most 1 together."""
    wanted = _likeness(embedding, queries)
    return wanted / jnp.maximum(wanted.sum(1, keepdims=True), 1.0)


def follow(taken: Taken, masks: Array) -> Array:
    """What slots look for in the next frame, the mean of what they show in this one: [B, K, E].

    Args:
      taken: of this frame.
      masks: as refined, [B, K, H, W].
    """
    weights = masks.reshape(*masks.shape[:2], -1)
    embedding = taken.embedding.reshape(len(weights), -1, taken.embedding.shape[-1])
    return _mean(embedding, weights, taken.queries)


def _mean(embedding: Array, weights: Array, before: Array) -> Array:
    """Means of [B, N, E] by weights [B, K, N], which stay near [B, K, E] if these are small."""
    return (weights @ embedding + _INERTIA * before) / (weights.sum(2)[..., None] + _INERTIA)


def _likeness(embedding: Array, queries: Array, *, breadth: float = 1.0) -> Array:
    """exp(−|e_i − query_k|² / breadth): [B, K, N]."""
    return jnp.exp(-((embedding[:, None] - queries[:, :, None]) ** 2).sum(-1) / breadth)
