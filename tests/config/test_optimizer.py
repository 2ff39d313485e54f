"""Oracles: schedules worked by hand; Adam and the clip written out; optax's own Adam."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stiid.config.optimizer import Optim, schedule, transformation

GRADIENTS = (  # global norms 5, 0.5 and 13: the first and the last are clipped to 1
    {"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray(-4.0)},
    {"a": jnp.asarray([0.3, -0.4]), "b": jnp.asarray(0.0)},
    {"a": jnp.asarray([0.0, 5.0]), "b": jnp.asarray(12.0)},
)


def make_optim(*, final=1e-3, warmup=0, clip_norm=1.0, beta1=0.9):
    return Optim(
        learning_rate=1e-3,
        final_learning_rate=final,
        warmup_steps=warmup,
        clip_norm=clip_norm,
        beta1=beta1,
    )


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-3),
        (25, 1e-4 + 9e-4 * (0.5 + np.sqrt(2) / 4)),  # cos(π/4) = √2/2
        (50, 5.5e-4),  # half way: the mean
        (100, 1e-4),
        (1000, 1e-4),
    ],
)
def test_learning_rate_falls_along_half_a_cosine(step, expected):
    assert schedule(make_optim(final=1e-4), steps=100)(step) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 2.5e-4), (1, 5e-4), (3, 1e-3), (4, 1e-3), (12, 5.5e-4), (20, 1e-4)],
)
def test_warmup_is_linear_and_the_cosine_takes_the_rest(step, expected):
    optim = make_optim(final=1e-4, warmup=4)
    assert schedule(optim, steps=20)(step) == pytest.approx(expected)


def test_constant_learning_rate_stays_constant():
    rates = {float(schedule(make_optim(), steps=7)(step)) for step in range(10)}
    assert rates == {np.float32(1e-3)}


def test_warmup_longer_than_the_stage_is_harmless():
    rates = [schedule(make_optim(warmup=8), steps=4)(step) for step in range(4)]
    np.testing.assert_allclose(rates, [1.25e-4, 2.5e-4, 3.75e-4, 5e-4], rtol=1e-6)


def test_a_warmup_of_one_step_and_a_rate_of_zero_are_possible():
    optim = make_optim(final=1e-4, warmup=1)
    np.testing.assert_allclose([schedule(optim, steps=2)(t) for t in range(3)], [1e-3, 1e-3, 1e-4])
    still = dataclasses.replace(optim, learning_rate=0.0, final_learning_rate=0.0)
    assert [float(schedule(still, steps=3)(t)) for t in range(4)] == [0.0] * 4


def test_transformation_is_adam_on_clipped_gradients():
    transform = transformation(make_optim())
    state = transform.init(GRADIENTS[0])
    first, second = np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(GRADIENTS, start=1):
        direction, state = transform.update(gradient, state)
        g = np.array([*gradient["a"], gradient["b"]], np.float64)
        g = g / max(np.linalg.norm(g), 1.0)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        expected = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        actual = [*direction["a"], direction["b"]]
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_scaled_direction_is_the_update_of_optax_adam():
    ours, theirs = transformation(make_optim(clip_norm=1e9)), optax.adam(3e-4)
    our_state, their_state = ours.init(GRADIENTS[0]), theirs.init(GRADIENTS[0])
    for gradient in GRADIENTS:
        direction, our_state = ours.update(gradient, our_state)
        update, their_state = theirs.update(gradient, their_state)
        for name, value in update.items():
            np.testing.assert_allclose(-3e-4 * direction[name], value, rtol=1e-6)
