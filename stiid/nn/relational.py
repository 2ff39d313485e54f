"""A prior that sees what all slots did: where slots will be, and their latents there.

Not in the paper, whose prior (Eq. 5) sees one slot's hidden state, and which names relations
between objects as future work. Here a slot is where its mask's center was in the last frames, and
as large as its mask. Slots that are near each other exchange messages, so that objects that meet
change their motion, and another network moves a latent from one place to another: what an object
looks like persists. Both are equivariant under permutations of slots, and take any number of them:
a slot far away is not heard, so that more of them than in training are no louder.

Places are (x, y) of −1 … 1 in an image, from left to right and from top to bottom.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from stiid.kernels.elu import elu
from stiid.shapes import Array, check_shapes

_SPEED = 0.0625  # typical change of a place in a frame
_LEAST = 1e-3  # distance below which a pair has no direction
_REACH = 0.25  # gap between discs, learned from here on, at which messages are half as loud
_FADING = 0.05  # of the gap, over which they fade out


class Motion(nn.Module):
    """The last places of all slots → the next ones; a new module moves them on in a line.

    Attributes:
      window: N, how many frames it sees.
      features: width of the messages.
    """

    window: int = 8
    features: int = 64

    @nn.compact
    def __call__(self, places: Array, sizes: Array) -> Array:
        """Predict the places [B, K, 2] of the next frame.

        Args:
          places: [B, N, K, 2] in the last frames.
          sizes: [B, K] fractions of the image; what is empty, 0, sends no messages.
        """
        check_shapes({"N": self.window}, places=(places, "B N K 2"), sizes=(sizes, "B K"))
        last, steps = places[:, -1], jnp.diff(places, axis=1) / _SPEED
        slots = jnp.moveaxis(steps, 1, 2).reshape(*sizes.shape, -1)
        slots = jnp.concatenate([last, slots, _magnitude(sizes)], -1)
        paces = jnp.stack([steps[:, -1], steps[:, -3:].mean(1), steps.mean(1)], 2)
        x = nn.Dense(self.features, name="receiver")(slots)[:, :, None]
        x += nn.Dense(self.features, use_bias=False, name="sender")(slots)[:, None]
        x += nn.Dense(self.features, use_bias=False, name="pair")(_geometry(last, paces))
        messages = elu(nn.Dense(self.features, name="message")(elu(x)))
        others = (1.0 - jnp.eye(sizes.shape[1]))[None] * (sizes > 0.0)[:, None]
        reach = self.param("reach", nn.initializers.constant(_REACH), ())
        heard = others * nn.sigmoid((reach - _gaps(last, sizes)) / _FADING)
        x = jnp.concatenate([slots, (heard[..., None] * messages).sum(2)], -1)
        x = elu(nn.Dense(2 * self.features, name="hidden_0")(x))
        x = elu(nn.Dense(self.features, name="hidden_1")(x))
        turn = nn.Dense(2, kernel_init=nn.initializers.zeros, name="out")(x)
        return last + _SPEED * (steps[:, -1] + turn)


class Mover(nn.Module):
    """Latents at one place → latents at another; a new module leaves them as they are.

    It sees latents as (z − center) / scale, which no gradient moves.

    Attributes:
      latent_size: D.
      features: width of its two hidden layers.
    """

    latent_size: int
    features: int = 128

    @nn.compact
    def __call__(self, z: Array, here: Array, there: Array) -> Array:
        """Move z [..., D] from places [..., 2] to others."""
        axes = (*(1,) * (z.ndim - 1), self.latent_size)
        center = self.param("center", nn.initializers.zeros, (self.latent_size,))
        scale = self.param("scale", nn.initializers.ones, (self.latent_size,))
        center, scale = (lax.stop_gradient(x).reshape(axes) for x in (center, scale))
        x = jnp.concatenate([(z - center) / scale, here, there], -1)
        for i in range(2):
            x = elu(nn.Dense(self.features, name=f"hidden_{i}")(x))
        zeros = nn.initializers.zeros
        return z + scale * nn.Dense(self.latent_size, kernel_init=zeros, name="out")(x)


def _magnitude(sizes: Array) -> Array:
    """Sizes as a network sees them: [B, K, 1]."""
    return jnp.log(100.0 * sizes + 0.05)[..., None]


def _gaps(places: Array, sizes: Array) -> Array:
    """Distances [B, K, K] between the edges of slots, taken for discs: negative if they overlap."""
    radii = jnp.sqrt(4.0 / math.pi * sizes)
    return _distances(places)[..., 0] - radii[:, :, None] - radii[:, None]


def _geometry(places: Array, paces: Array) -> Array:
    """How each slot, the third axis, lies to and approaches another, the second: [B, K, K, …].

    Args:
      places: [B, K, 2].
      paces: [B, K, P, 2], several estimates of the velocity.
    """
    apart = places[:, None] - places[:, :, None]
    distance = _distances(places)
    direction = apart / distance
    approach = (paces[:, None] - paces[:, :, None]) * direction[..., None, :]
    return jnp.concatenate([4.0 * distance, direction, approach.sum(-1)], -1)


def _distances(places: Array) -> Array:
    """Between all pairs: [B, K, K, 1]."""
    apart = places[:, None] - places[:, :, None]
    return jnp.sqrt((apart**2).sum(-1, keepdims=True) + _LEAST**2)
