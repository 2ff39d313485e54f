"""Sums by slices and broadcasts, beside NumPy's and the gradients that JAX finds itself."""

import jax
import jax.numpy as jnp
import jaxprs
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from stiid.kernels.slot_sums import (
    broadcast_channels,
    broadcast_slots,
    sum_channels,
    sum_slots,
)

SHAPES = st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple)


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def plain_sum_slots(x):
    return x.sum(1, keepdims=True)


def plain_sum_channels(x):
    return x.sum(-1, keepdims=True)


def plain_broadcast_slots(x, num_slots):
    return jnp.repeat(x, num_slots, axis=1)


def plain_broadcast_channels(x, channels):
    return jnp.repeat(x, channels, axis=-1)


BY_SLICES = (sum_slots, sum_channels, broadcast_slots, broadcast_channels)
PLAIN = (
    plain_sum_slots,
    plain_sum_channels,
    plain_broadcast_slots,
    plain_broadcast_channels,
)


@settings(deadline=None, max_examples=25)
@given(shape=SHAPES)
def test_slots_and_channels_of_any_shape_are_summed_and_broadcast(shape):
    x = draw(shape)
    for axis, add, repeat in (
        (1, sum_slots, broadcast_slots),
        (-1, sum_channels, broadcast_channels),
    ):
        expected = x.astype(np.float64).sum(axis, keepdims=True)
        total = add(x)
        np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(repeat(total, 3), np.repeat(total, 3, axis))


def mixture(functions, logits, means):
    """A function that needs all four."""
    add_slots, add_channels, repeat_slots, repeat_channels = functions
    weights = jnp.exp(logits)
    weights = weights / repeat_slots(add_slots(weights), logits.shape[1])
    mixed = add_slots(repeat_channels(weights, means.shape[-1]) * means)
    return (add_channels(mixed) ** 3).sum()


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_those_of_plain_sums(order):
    logits, means = draw((2, 5, 3, 4, 1)), draw((2, 5, 3, 4, 3), seed=1)

    def gradients(functions):
        def value(logits, means):
            return mixture(functions, logits, means)

        if order == 1:
            return jax.grad(value, argnums=(0, 1))(logits, means)
        # As in training: a gradient inside of what is differentiated.
        inner = jax.grad(value, argnums=(0, 1))
        return jax.grad(lambda *x: sum((g**2).sum() for g in inner(*x)), (0, 1))(logits, means)

    for actual, expected in zip(gradients(BY_SLICES), gradients(PLAIN), strict=True):
        scale = np.abs(expected).max()
        assert scale > 1.0
        np.testing.assert_allclose(actual, expected, atol=1e-5 * scale)


def test_rows_of_a_vmap_are_single_calls():
    x = draw((6, 2, 5, 3))
    np.testing.assert_array_equal(jax.vmap(sum_slots)(x), np.stack([sum_slots(row) for row in x]))
    np.testing.assert_array_equal(
        jax.vmap(lambda row: broadcast_channels(row, 4))(x[..., :1]),
        np.repeat(x[..., :1], 4, -1),
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
    for equation in jaxprs.equations(jax.make_jaxpr(gradient)(params).jaxpr):
        shape = equation.invars[0].aval.shape if equation.invars else ()
        if equation.primitive.name == "reduce_sum" and shape[-3:-1] == (8, 8):
            images += 1
            summed = {axis for axis in equation.params["axes"] if shape[axis] > 1}
            assert not summed or summed >= {len(shape) - 3, len(shape) - 2}, (shape, summed)
    assert images
