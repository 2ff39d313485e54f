"""Coordinate channels, which give a broadcast decoder or a refiner the position of each pixel."""

import jax.numpy as jnp
import numpy as np

from stiid.shapes import Array


def positions(height: int, width: int, *, frequencies: tuple[float, ...] = ()) -> Array:
    """Position features of an image.

    Args:
      height: rows H.
      width: columns W.
      frequencies: for each k, add sin and cos of πk·row and πk·column (*not in the paper*: with
        these Fourier features, networks can use positions from the first update).

    Returns:
      [H, W, 2 + 4·len(frequencies)]: row and column in [−1, 1], end points included (row
      first), then the Fourier features.
    """
    grid = np.stack(
        np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"), axis=-1
    )
    waves = [wave(np.pi * k * grid) for k in frequencies for wave in (np.sin, np.cos)]
    return jnp.asarray(np.concatenate([grid, *waves], axis=-1), jnp.float32)
