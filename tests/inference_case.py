"""Inputs of the tests of inference, and comparisons of what comes out."""

import jax
import numpy as np

from stiid.method.elbo import ElboWeights

WEIGHTS = ElboWeights(beta=5.0, psi=0.7)
EXACT = {"rtol": 1e-8, "atol": 1e-8}


def random_inputs(*, frames=3, refinements=2, batch=2, slots=3, dtype=np.float64):
    """Video and noise."""
    rng = np.random.default_rng(0)
    video = rng.random((batch, frames, 8, 8, 3)).astype(dtype)
    return video, rng.normal(size=(frames, refinements + 1, batch, slots, 4)).astype(dtype)


def close(actual, expected, **tolerance):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or EXACT))


def terms_of_frames(result):
    """The terms of each frame, whatever its run."""
    for run in result.terms:
        for i in range(len(run.nll)):
            yield jax.tree.map(lambda leaf, i=i: leaf[i], run)
