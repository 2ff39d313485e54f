"""The shape legend, and the tuples that pass between modules.

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
R      refinements; R̂_t is the number of refinements of frame t (``grid.py``)
====== ==========================================================================

Everything is channels-last and float32 unless it says otherwise. Frames are indexed t = 0 … T−1,
refinements r = 1 … R̂_t, as in the paper.
"""

from typing import Any, NamedTuple

import jax

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
    """What the decoder says of each slot at each pixel."""

    means: Array  # [B, K, H, W, C] appearance μ_x in [0, 1]
    logits: Array  # [B, K, H, W, 1] mask logits; the masks are their softmax over K
