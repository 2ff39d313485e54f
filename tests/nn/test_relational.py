"""The relational prior. Oracle: the motion once more in NumPy, slot by slot and pair by pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiid.nn.relational import Motion, Mover

MOTION = Motion(window=5, features=6)
MOVER = Mover(3, features=7)


def random_like(fresh, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0.0, 0.5, x.shape), jnp.float32), fresh)


def new_motion():
    return MOTION.init(jax.random.key(0), jnp.zeros((1, 5, 2, 2)), jnp.zeros((1, 2)))["params"]


def new_mover():
    return MOVER.init(jax.random.key(0), *(jnp.zeros((1, 2, n)) for n in (3, 2, 2)))["params"]


@pytest.fixture(scope="module")
def params():
    return {**random_like(new_motion()), "reach": jnp.float32(0.2)}


def inputs(slots):
    rng = np.random.default_rng(1)
    places = rng.uniform(-1.0, 1.0, (2, 1, slots, 2)) + 0.05 * rng.normal(size=(2, 5, slots, 2))
    return places.astype(np.float32), rng.uniform(0.01, 0.5, (2, slots)).astype(np.float32)


def predict(params, places, sizes):
    return np.asarray(MOTION.apply({"params": params}, places, sizes))


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_motion_equals_the_oracle(params, slots):
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    places, sizes = inputs(slots)

    def dense(name, x):
        return x @ p[name]["kernel"] + p[name].get("bias", 0.0)

    def elu(x):
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

    for b in range(2):
        steps = 16 * (places[b, 1:] - places[b, :-1])
        last = places[b, -1]
        state = [
            np.concatenate([last[k], steps[:, k].ravel(), [np.log(100 * sizes[b, k] + 0.05)]])
            for k in range(slots)
        ]
        for k in range(slots):
            total = np.zeros(6)
            for j in range(slots):
                if j == k:
                    continue
                apart = last[j] - last[k]
                distance = np.sqrt(apart @ apart + 1e-6)
                estimates = [
                    steps[first:, j].mean(0) - steps[first:, k].mean(0) for first in (-1, -3, 0)
                ]
                toward = [estimate @ apart / distance for estimate in estimates]
                pair = np.concatenate([[4 * distance], apart / distance, toward])
                x = dense("receiver", state[k]) + dense("sender", state[j]) + dense("pair", pair)
                gap = distance - sum(np.sqrt(4 * sizes[b, i] / np.pi) for i in (j, k))
                loudness = 1 / (1 + np.exp((gap - p["reach"]) / 0.05))
                total += loudness * elu(dense("message", elu(x)))
            x = elu(dense("hidden_0", np.concatenate([state[k], total])))
            turn = dense("out", elu(dense("hidden_1", x)))
            expected = last[k] + (steps[-1, k] + turn) / 16
            actual = predict(params, places, sizes)[b, k]
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_slots_have_no_order(params):
    (places, sizes), order = inputs(5), [3, 0, 4, 2, 1]
    permuted = predict(params, places[:, :, order], sizes[:, order])
    np.testing.assert_allclose(permuted, predict(params, places, sizes)[:, order], atol=1e-5)


def test_slots_depend_on_each_other_but_not_on_empty_ones(params):
    places, sizes = inputs(3)
    moved = places.copy()
    moved[:, -1, 2] += 0.1
    change = predict(params, moved, sizes) - predict(params, places, sizes)
    assert np.abs(change[:, 0]).max() > 1e-3
    sizes[:, 2] = 0.0
    same = predict(params, moved, sizes)[:, :2]
    np.testing.assert_array_equal(same, predict(params, places, sizes)[:, :2])


def test_what_is_far_away_is_not_heard_however_much_there_is(params):
    """Two discs that touch, in a corner, and three more in the other."""
    corner = np.array([[-0.9, -0.9], [-0.7, -0.9], [0.9, 0.9], [0.8, 0.6], [0.5, 0.9]], np.float32)
    places = corner + 0.01 * np.random.default_rng(3).normal(size=(1, 5, 5, 2)).astype(np.float32)
    sizes = np.full((1, 5), 0.25 * np.pi * 0.1**2, np.float32)  # of radius 0.1
    alone = predict(params, places[:, :, :2], sizes[:, :2])
    np.testing.assert_allclose(predict(params, places, sizes)[:, :2], alone, atol=1e-5)
    single = predict(params, places[:, :, :1], sizes[:, :1])
    assert np.abs(alone[:, :1] - single).max() > 1e-3
    shouting = {**params, "reach": jnp.float32(10.0)}
    others = predict(shouting, places, sizes)[:, :2] - predict(
        shouting, places[:, :, :2], sizes[:, :2]
    )
    assert np.abs(others).max() > 1e-3


def test_reach_is_learned(params):
    places, sizes = inputs(3)
    gradient = jax.grad(lambda p: MOTION.apply({"params": p}, places, sizes).sum())(params)
    assert np.abs(gradient["reach"]) > 1e-3


def test_new_ones_move_slots_in_a_line_and_leave_latents():
    places, sizes = inputs(4)
    expected = 2 * places[:, -1] - places[:, -2]
    np.testing.assert_allclose(predict(new_motion(), places, sizes), expected, atol=1e-6)
    z = np.random.default_rng(2).normal(size=(2, 4, 3)).astype(np.float32)
    moved = MOVER.apply({"params": new_mover()}, z, places[:, 0], places[:, 1])
    np.testing.assert_array_equal(moved, z)


def test_latents_are_moved_in_standard_form():
    """Shifted and scaled latents are moved alike, if center and scale are."""
    params = {**random_like(new_mover()), "center": jnp.zeros(3), "scale": jnp.ones(3)}
    shift, scale = np.float32([1.0, -2.0, 0.5]), np.float32([0.5, 2.0, 3.0])
    z = np.random.default_rng(2).normal(size=(2, 4, 3)).astype(np.float32)
    here, there = inputs(4)[0][:, :2].swapaxes(0, 1)
    plain = np.asarray(MOVER.apply({"params": params}, z, here, there))
    other = {**params, "center": shift, "scale": scale}
    moved = MOVER.apply({"params": other}, z * scale + shift, here, there)
    np.testing.assert_allclose(moved, plain * scale + shift, rtol=1e-4, atol=1e-5)
    assert np.abs(plain - z).max() > 1e-2


def test_what_standardizes_is_not_learned():
    params = random_like(new_mover())
    z, place = np.ones((2, 4, 3), np.float32), np.ones((2, 4, 2), np.float32)
    gradient = jax.grad(lambda p: MOVER.apply({"params": p}, z, place, -place).sum())(params)
    for name in ("center", "scale"):
        np.testing.assert_array_equal(gradient[name], 0.0)
    assert np.abs(gradient["out"]["kernel"]).max() > 0.0


@pytest.mark.parametrize(
    ("frames", "slots", "message"),
    [
        (4, 3, r"places: expected shape \[B, N, K, 2\] = \(B, 5, K, 2\), got \(2, 4, 3, 2\)"),
        (5, 2, r"sizes: expected shape \[B, K\] = \(2, 3\), got \(2, 2\)"),
    ],
)
def test_other_shapes_are_refused(params, frames, slots, message):
    with pytest.raises(ValueError, match=message):
        predict(params, np.zeros((2, frames, 3, 2)), np.zeros((2, slots)))
