"""Slots at the start of the first frame: learned, sampled, or from places of objects.

S size of a slot.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from stiid.shapes import Array


class LearnedSlots(nn.Module):
    """A learned vector for each slot, so that their number is fixed.

    Attributes:
      num_slots: K.
      size: S.
    """

    num_slots: int
    size: int

    @nn.compact
    def __call__(self, batch: int) -> Array:
        """The same slots for all videos of a batch, [B, K, S]."""
        shape = (self.num_slots, self.size)
        slots = self.param("slots", nn.initializers.normal(1.0), shape)
        return jnp.broadcast_to(slots, (batch, *shape))


class SampledSlots(nn.Module):
    """Samples of one learned Gaussian: slots are exchangeable, and their number is free.

    Attributes:
      size: S.
    """

    size: int

    @nn.compact
    def __call__(self, noise: Array) -> Array:
        """Standard normal noise [B, K, S] → slots [B, K, S]."""
        init = nn.initializers.glorot_uniform()
        mean, log_deviation = (
            self.param(name, init, (1, self.size))[None] for name in ("mean", "log_deviation")
        )
        return mean + jnp.exp(log_deviation) * noise


class CuedSlots(nn.Module):
    """Slots from the places of objects.

    Attributes:
      size: S.
      hidden: width of the hidden layer.
      center: whether a place is the center of a box instead of the box.
    """

    size: int
    hidden: int
    center: bool

    @nn.compact
    def __call__(self, places: Array) -> Array:
        """Boxes [B, K, 4] → slots [B, K, S]."""
        places = centers(places) if self.center else places
        hidden = nn.relu(nn.Dense(self.hidden, name="hidden")(places))
        return nn.Dense(self.size, name="slots")(hidden)


def boxes(objects: Array, *, num_slots: int) -> Array:
    """Bounding boxes of the objects of a frame, as fractions of its sides.

    Args:
      objects: integers [B, H, W]; 0 is the background, k the object of slot k. Objects from K on
        have no slot.
      num_slots: K.

    Returns:
      [B, K, 4]: first row, first column, last row, last column (where a box ends); zeros for slot
      0, the background, and for slots without an object.
    """
    slots = jnp.arange(num_slots).reshape(1, -1, 1, 1)
    inside = (objects[:, None] == slots) & (slots > 0)
    bounds = [_extent(inside.any(axis)) for axis in (3, 2)]  # of rows, of columns
    (top, bottom), (left, right) = bounds
    found = jnp.stack([top, left, bottom, right], axis=-1)
    return jnp.where(inside.any((2, 3))[..., None], found, 0.0)


def centers(places: Array) -> Array:
    """Row and column of the middle of boxes: [B, K, 4] → [B, K, 2]."""
    return (places[..., :2] + places[..., 2:]) / 2.0


def _extent(line: Array) -> tuple[Array, Array]:
    """First and end index of the true part of bool [B, K, L], as fractions of L."""
    length = line.shape[-1]
    first = line.argmax(-1)
    end = length - jnp.flip(line, -1).argmax(-1)
    return first / length, end / length


def noise(keys: Array, *, num_slots: int, size: int) -> Array:
    """Standard normal noise [B, K, S], each video's from its own key."""
    return jax.vmap(lambda key: jax.random.normal(key, (num_slots, size)))(keys)
