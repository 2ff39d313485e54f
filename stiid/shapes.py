"""Letters of array shapes, and the tuples of arrays that modules exchange.

====== ==========================================================================
letter meaning
====== ==========================================================================
B      videos in a batch
T      frames
K      slots (components of the mixture)
H, W   rows and columns of pixels
C      channels, values in [0, 1]
D      size of a slot's latent z
M      width of the 2D-LSTM
R      refinements; R̂_t is the number of refinements of frame t (``method.schedule``)
====== ==========================================================================

Arrays are channels-last and float32 unless stated otherwise. Frames are indexed t = 0 … T−1,
refinements r = 1 … R̂_t, as in the paper.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

Array = jax.Array
Params = Any  # nested dict of arrays


class Gaussian(NamedTuple):
    """Parameters of diagonal Gaussians: λ = (μ, log σ²) of a posterior, or a prior."""

    mean: Array  # [B, K, D]
    log_var: Array  # [B, K, D]


class LSTMState(NamedTuple):
    """Hidden and cell state of the 2D-LSTM along one of its axes."""

    h: Array  # [B, K, M]
    c: Array  # [B, K, M]


class Decoded(NamedTuple):
    """Output of the decoder for each slot and pixel."""

    means: Array  # [B, K, H, W, C] appearance μ_x in [0, 1]
    logits: Array  # [B, K, H, W, 1] mask logits; the masks are their softmax over K


def check_shapes(sizes: Mapping[str, int] | None = None, /, **arrays: tuple[Any, str]) -> None:
    """Refuse arrays whose shapes do not fit together, when a function is traced.

    Args:
      sizes: sizes of some axes, if they are known.
      **arrays: name → (array, its axes), as in ``frame=(frame, "B H W C")``. A letter means the
        same size in all arrays, a number means itself.

    Raises:
      ValueError: a shape is not the expected one; the message names both.
    """
    known = dict(sizes or {})
    for name, (array, axes) in arrays.items():
        letters = axes.split()
        expected = [known.get(axis, int(axis) if axis.isdigit() else axis) for axis in letters]
        shape = np.shape(array)  # of a list, too
        try:
            chex.assert_shape(
                jax.ShapeDtypeStruct(shape, np.float32),
                [size if isinstance(size, int) else None for size in expected],
            )
        except AssertionError:
            raise ValueError(
                f"{name}: expected shape [{', '.join(letters)}] = "
                f"({', '.join(map(str, expected))}), got {shape}"
            ) from None
        known.update(zip(letters, shape, strict=True))
