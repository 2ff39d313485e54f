"""The spatial transformer: cut a component out of a frame by its pose, and put it back.

A pose (s, x, y) maps frame coordinates u to the component's own, s·u + (x, y). Both run over
[−1, 1] from the center of the first pixel to the center of the last (corners aligned); outside is
black. The map has no rotation, so bilinear sampling is a product with a matrix on each side.
"""

import jax.numpy as jnp

from stiid.shapes import Array


def crop(images: Array, pose: Array, *, size: int) -> Array:
    """Cut out the part of an image that a pose covers.

    Args:
      images: [..., H, W, C].
      pose: [..., 3].
      size: rows and columns S of the result.

    Returns:
      [..., S, S, C].
    """
    scale, shift = pose[..., :1], pose[..., 1:]
    return _sample(images, 1.0 / scale, -shift / scale, size=size)


def place(components: Array, pose: Array, *, size: int) -> Array:
    """Put a component into a frame at its pose.

    Args:
      components: [..., S, S, C].
      pose: [..., 3].
      size: rows and columns H = W of the result.

    Returns:
      [..., H, W, C].
    """
    return _sample(components, pose[..., :1], pose[..., 1:], size=size)


def center(pose: Array) -> Array:
    """Position of a component's center in the frame: [..., 3] → (x, y) in [0, 1], [..., 2]."""
    return (1.0 - pose[..., 1:] / pose[..., :1]) / 2.0


def _sample(images: Array, scale: Array, shift: Array, *, size: int) -> Array:
    """Bilinear values at scale·u + shift, for u on a grid of size × size."""
    height, width = images.shape[-3:-1]
    columns = _weights(scale[..., 0], shift[..., 0], size=size, extent=width)
    rows = _weights(scale[..., 0], shift[..., 1], size=size, extent=height)
    return jnp.einsum("...ph,...qw,...hwc->...pqc", rows, columns, images)


def _weights(scale: Array, shift: Array, *, size: int, extent: int) -> Array:
    """Weight of each of ``extent`` pixels in each of ``size`` samples: [..., size, extent]."""
    samples = jnp.linspace(-1.0, 1.0, size).reshape(*(1 for _ in scale.shape), size)
    place = (scale[..., None] * samples + shift[..., None] + 1.0) / 2.0 * (extent - 1)
    pixels = jnp.arange(extent).reshape(*(1 for _ in place.shape), extent)
    return jnp.maximum(1.0 - jnp.abs(place[..., None] - pixels), 0.0)
