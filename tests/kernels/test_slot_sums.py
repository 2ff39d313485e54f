"""short_sums: sums by slices and spreading, beside NumPy's and the gradients JAX finds itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from stiid.kernels.slot_sums import spread, sum_over

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def plain_sum(x, axis):
    return x.sum(axis, keepdims=True)


def plain_spread(x, count, axis):
    return jnp.repeat(x, count, axis=axis)


@settings(deadline=None, max_examples=25)
@given(shape=SHAPES, data=st.data())
def test_any_axis_is_summed_and_spread(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = draw(shape)
    expected = x.astype(np.float64).sum(axis, keepdims=True)
    total = sum_over(x, axis)
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(spread(total, 3, axis), np.repeat(total, 3, axis))


def mixture(sum_over, spread, logits, means):
    """A function that needs both, along slots and along channels."""
    weights = jnp.exp(logits)
    weights = weights / spread(sum_over(weights, 1), logits.shape[1], 1)
    mixed = sum_over(spread(weights, means.shape[-1], -1) * means, 1)
    return (sum_over(mixed, -1) ** 3).sum()


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_those_of_plain_sums(order):
    logits, means = draw((2, 5, 3, 4, 1)), draw((2, 5, 3, 4, 3), seed=1)

    def gradients(sum_over, spread):
        def value(logits, means):
            return mixture(sum_over, spread, logits, means)

        if order == 1:
            return jax.grad(value, argnums=(0, 1))(logits, means)
        # As in training: a gradient inside of what is differentiated.
        inner = jax.grad(value, argnums=(0, 1))
        return jax.grad(lambda *x: sum((g**2).sum() for g in inner(*x)), (0, 1))(logits, means)

    for actual, expected in zip(
        gradients(sum_over, spread), gradients(plain_sum, plain_spread), strict=True
    ):
        scale = np.abs(expected).max()
        assert scale > 1.0
        np.testing.assert_allclose(actual, expected, atol=1e-5 * scale)


def test_rows_of_a_vmap_are_single_calls():
    x = draw((6, 2, 5, 3))
    np.testing.assert_array_equal(
        jax.vmap(lambda row: sum_over(row, 1))(x), np.stack([sum_over(row, 1) for row in x])
    )
    np.testing.assert_array_equal(
        jax.vmap(lambda row: spread(row, 4, -1))(x[..., :1]), np.repeat(x[..., :1], 4, -1)
    )


@pytest.mark.parametrize("num_simulated", [0, 2])
def test_training_reduces_no_image_over_slots_or_channels(num_simulated, tmp_path):
    """Such a reduction is what XLA:CPU gives to its slow kernel; gradients have them unseen."""
    experiment = tiny.experiment(tmp_path, model__objective__num_simulated=num_simulated)
    system = experiment.model.build((8, 8, 3))
    params = jax.eval_shape(system.init, jax.random.key(0))
    video = jnp.zeros((1, 4, 8, 8, 3), jnp.uint8)
    keys = jax.random.split(jax.random.key(0), 1)
    gradient = jax.grad(lambda params: system.loss(params, video, keys).total.sum())
    images = 0
    for equation in tiny.equations(jax.make_jaxpr(gradient)(params).jaxpr):
        shape = equation.invars[0].aval.shape if equation.invars else ()
        if equation.primitive.name == "reduce_sum" and shape[-3:-1] == (8, 8):
            images += 1
            summed = {axis for axis in equation.params["axes"] if shape[axis] > 1}
            assert not summed or summed >= {len(shape) - 3, len(shape) - 2}, (shape, summed)
    assert images
