"""Oracle of bfloat16: the same model in float32, to as many digits as bfloat16 has (2⁻⁸ a step)."""

import jax
import jaxprs
import numpy as np
import pytest
import tiny

from stiid.method.elbo import ElboWeights
from stiid.method.inference import infer_video
from stiid.shapes import LSTMState

pytestmark = pytest.mark.slow  # compiles a whole update twice

WEIGHTS = ElboWeights(beta=5.0, psi=0.7)


@pytest.fixture(scope="module")
def results(make_model, random_params):
    """Loss, (nll, masks) and gradients of a clip of two frames, for both formats."""
    rng = np.random.default_rng(0)
    video = rng.random((2, 2, 8, 8, 3)).astype(np.float32)
    noise = rng.normal(size=(2, 2, 2, 3, 4)).astype(np.float32)

    def run(precision):
        model = make_model(refinements=1, precision=precision)

        @jax.jit
        def value_and_grad(params):
            def loss(params):
                result = infer_video(model, params, video, noise, WEIGHTS)
                (terms,) = result.terms
                return terms.nll.sum() + terms.kl.sum(), (terms.nll, result.frames.masks)

            return jax.value_and_grad(loss, has_aux=True)(params)

        return value_and_grad(random_params(model, dtype=np.float32))

    with tiny.quick_compilation():
        return {precision: jax.device_get(run(precision)) for precision in ("float32", "bfloat16")}


def flat(tree):
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def test_bfloat16_is_near_float32(results):
    """The likelihood is summed in float32; gradients pass some ten layers of bfloat16.

    Bounds are three to four times what was found: 6e-4, 1.7e-3 and 3.7e-3.
    """
    ((_, (nll, masks)), grads), ((_, (exact_nll, exact_masks)), exact) = (
        results[precision] for precision in ("bfloat16", "float32")
    )
    np.testing.assert_allclose(nll, exact_nll, rtol=2e-3)
    np.testing.assert_allclose(masks, exact_masks, atol=5e-3)
    assert (masks != exact_masks).any()
    error = np.linalg.norm(flat(grads) - flat(exact)) / np.linalg.norm(flat(exact))
    assert error < 1.5e-2


def test_everything_else_stays_float32(results):
    for leaf in jax.tree.leaves(results["bfloat16"]):
        assert leaf.dtype == np.float32


def test_image_sized_layers_compute_in_bfloat16_alone(make_model, random_params):
    """Products of at least one image's rows, and no others: neither LSTM nor dense heads."""
    model = make_model(precision="bfloat16", kernel_size=1)
    params = random_params(model, dtype=np.float32)
    z, h = np.zeros((1, 3, 4), np.float32), np.zeros((1, 3, 6), np.float32)
    images = (np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 3, 8, 8, 11), np.float32))
    vectors = np.zeros((1, 3, 16), np.float32)

    def formats(function, *arguments):
        """Number formats of products, by whether they give images or rows of their 64 pixels."""
        found = {True: set(), False: set()}
        for eqn in jaxprs.equations(jax.make_jaxpr(function)(*arguments).jaxpr):
            if eqn.primitive.name == "dot_general":
                result = eqn.outvars[0].aval
                found[result.ndim == 4 or result.shape[-2] == 64].add(str(result.dtype))
        return found

    decoder = formats(lambda z, h: model.decode(params, z, h), z, h)
    state = LSTMState(h, h)
    refiner = formats(
        lambda *inputs: model.propose_update(params, *inputs, state, state), *images, vectors
    )
    assert decoder[True] == refiner[True] == {"bfloat16"}
    assert refiner[False] == {"float32"}
