"""Attention: of slots that compete for the inputs of a frame, and of slots to each other.

P inputs of a frame (one per pixel of its features), S size of a slot, A heads.
"""

import jax
import jax.numpy as jnp

from stiid.shapes import Array

_EPSILON = 1e-8


def competing(queries: Array, keys: Array) -> Array:
    """Share each input among the slots: softmax over slots of q·k / √S.

    Args:
      queries: of the slots, [B, K, S].
      keys: of the inputs, [B, P, S].

    Returns:
      [B, K, P], sums to 1 over K.
    """
    return jax.nn.softmax(_scores(queries, keys), axis=-2)


def gather(shares: Array, values: Array) -> Array:
    """Mean of the inputs' values, weighted by a slot's share of each.

    Args:
      shares: of ``competing``, [B, K, P].
      values: [B, P, S].

    Returns:
      [B, K, S].
    """
    return (shares / (shares.sum(-1, keepdims=True) + _EPSILON)) @ values


def self_attention(queries: Array, keys: Array, values: Array, *, heads: int) -> Array:
    """Scaled dot-product attention of slots to slots, with several heads side by side.

    Args:
      queries: [B, K, S].
      keys: [B, K, S].
      values: [B, K, S].
      heads: A, a divisor of S.

    Returns:
      [B, K, S].
    """
    queries, keys, values = (_split(x, heads) for x in (queries, keys, values))
    mixed = jax.nn.softmax(_scores(queries, keys), axis=-1) @ values
    return jnp.swapaxes(mixed, 1, 2).reshape(len(mixed), mixed.shape[2], -1)


def _scores(queries: Array, keys: Array) -> Array:
    return (queries / jnp.sqrt(queries.shape[-1])) @ jnp.swapaxes(keys, -1, -2)


def _split(x: Array, heads: int) -> Array:
    """[B, K, S] → [B, A, K, S / A]."""
    return jnp.swapaxes(x.reshape(*x.shape[:2], heads, -1), 1, 2)
