"""Seeds of a frame. Oracles: what slots take, by hand; the whole network once more in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from stiid.nn.seeds import Seeds, enter, follow, sow, take


def test_seeds_by_hand():
    # On a line: the mean, 4.4, is nearest to the pixel at 0.2; that at 10.4 is covered least then.
    # Each query moves to the middle of its pixels, and nothing is left for a third.
    places = jnp.asarray([0.0, 0.2, 0.1, 0.1, 10.0, 10.4, 10.2]).reshape(1, 7, 1)
    background, other, none = sow(places, 3)[0, :, 0]
    assert background == pytest.approx(0.1, abs=0.01)
    assert other == pytest.approx(10.2, abs=0.01)
    assert none == 100.0


def test_a_seed_that_moves_to_an_earlier_one_counts_as_none():
    # The first query goes to 0.4, in the middle of 1,800 pixels, and hardly covers that at 2.5,
    # which is their own edge: its query moves back to them.
    near = [*np.zeros(900), *np.full(900, 0.8), 2.5]
    places = jnp.asarray([*near, *np.full(9, 8.0), *np.full(9, 11.0)]).reshape(1, -1, 1)
    queries = np.asarray(sow(places, 5)[0, :, 0])
    found = np.sort(queries[queries < 100.0])
    np.testing.assert_allclose(found, [0.4, 8.0, 11.0], atol=0.1)


def test_a_slot_that_finds_nothing_gets_a_seed_where_nobody_is():
    # The second slot sees nothing like 50, and moves to the pixels that the others do not cover.
    places = jnp.asarray([0.0, 0.1, 5.0, 5.2, 9.0]).reshape(1, 5, 1)

    def entered(*queries):
        return enter(places, jnp.asarray(queries).reshape(1, -1, 1))[0, :, 0]

    np.testing.assert_allclose(entered(0.05, 50.0, 9.0), [0.05, 5.1, 9.0], atol=0.01)
    # One slot a frame; once all pixels are covered, none. Slots that find something are left alone.
    np.testing.assert_allclose(entered(0.05, 50.0, 9.0, 40.0), [0.05, 5.1, 9.0, 100.0], atol=0.01)
    np.testing.assert_allclose(entered(0.05, 50.0, 9.0, 5.1), [0.05, 100.0, 9.0, 5.1], rtol=1e-6)
    # A pixel that is covered by more than a tenth, e^(-2.25² / 6) = .43, does not count.
    np.testing.assert_allclose(entered(0.05, 50.0, 9.0, 7.45), [0.05, 100.0, 9.0, 7.45], rtol=1e-6)


def test_what_enters_gets_the_empty_slot_before_any_training():
    before, _ = discs([(5, 5), (20, 8)], size=32, radius=3)
    after, ids = discs([(5, 6), (20, 8), (25, 25)], size=32, radius=3)
    first, params = Seeds(4).init_with_output(jax.random.key(0), before, 4)
    owners = np.asarray(first.shares)[0, ..., 0].argmax(0)
    later = Seeds(4).apply(params, after, follow(first, first.shares[..., 0]))
    moved = np.asarray(later.shares)[0, ..., 0].argmax(0)
    assert len(set(owners.ravel())) == 3
    assert moved[25, 25] not in owners
    assert len(set(zip(moved.ravel(), ids.ravel(), strict=True))) == 4
    assert (moved[5, 6], moved[20, 8]) == (owners[5, 6], owners[20, 8])


def test_a_slot_without_a_seed_takes_nothing():
    frame, ids = discs([(5, 5), (20, 20)], size=28, radius=4)
    taken, params = Seeds(4).init_with_output(jax.random.key(0), frame, 5)
    owners = np.asarray(taken.shares)[0, ..., 0].argmax(0)
    assert len(set(owners.ravel())) == 3
    later = Seeds(4).apply(params, frame, follow(taken, taken.shares[..., 0]))
    np.testing.assert_array_equal(later.shares[0, ..., 0].argmax(0), owners)
    np.testing.assert_array_equal(owners == 0, ids == 0)


def test_what_slots_take_by_hand():
    # Two want the second pixel, each by e^(-1/4) > 1/2, and share it.
    places = jnp.asarray([0.0, 0.5, 1.0, 3.0]).reshape(1, 4, 1)
    taken = take(places, jnp.asarray([0.0, 1.0]).reshape(1, 2, 1))[0]
    near, far = 1 / (1 + np.exp(-1.0)), np.exp(-1.0) / (1 + np.exp(-1.0))
    expected = [[near, 0.5, far, np.exp(-9.0)], [far, 0.5, near, np.exp(-4.0)]]
    np.testing.assert_allclose(taken, expected, rtol=1e-5)


def discs(centers, *, size, radius):
    """White discs on black, [1, size, size, 1], and their ids, 0 = the background."""
    rows, columns = np.mgrid[:size, :size]
    ids = np.zeros((size, size), int)
    for i, (row, column) in enumerate(centers, 1):
        ids[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = i
    return jnp.asarray(ids[None, ..., None] > 0, jnp.float32), ids


def test_white_discs_have_a_slot_each_before_any_training():
    frame, ids = discs([(5, 5), (5, 20), (20, 8), (25, 25)], size=32, radius=3)
    taken, _ = Seeds(4).init_with_output(jax.random.key(0), frame, 5)
    owners = np.asarray(taken.shares)[0, ..., 0].argmax(0)
    np.testing.assert_array_equal(owners == 0, ids == 0)
    assert len(set(zip(owners.ravel(), ids.ravel(), strict=True))) == 5


def test_slots_follow_what_moves_before_any_training():
    before, _ = discs([(5, 5), (5, 20), (20, 8), (25, 25)], size=32, radius=3)
    after, ids = discs([(6, 7), (4, 18), (22, 9), (25, 23)], size=32, radius=3)
    module = Seeds(4)
    first, params = module.init_with_output(jax.random.key(0), before, 5)
    owners = np.asarray(first.shares)[0, ..., 0].argmax(0)
    later = module.apply(params, after, follow(first, first.shares[..., 0]))
    moved = np.asarray(later.shares)[0, ..., 0].argmax(0)
    assert len(set(zip(moved.ravel(), ids.ravel(), strict=True))) == 5
    for row, column in ((5, 6), (5, 19), (21, 8), (25, 24)):  # in both frames of the same disc
        assert moved[row, column] == owners[row, column]


@pytest.mark.usefixtures("float64")
def test_network_is_that_of_numpy():
    module, rng = Seeds(4, features=5, layers=2, size=3), np.random.default_rng(0)
    frame = rng.random((2, 6, 7, 3))
    shapes = module.init(jax.random.key(0), jnp.asarray(frame), 3)["params"]
    params = jax.tree.map(lambda x: rng.normal(size=x.shape), shapes)
    grid = np.broadcast_to(oracles.coordinates(6, 7), (2, 6, 7, 2))
    x = np.concatenate([frame, grid], -1)
    for i in range(2):
        layer = params[f"conv_{i}"]
        x = oracles.elu(oracles.conv2d(x, layer["kernel"]) + layer["bias"])
    pixels = np.concatenate([frame, grid, x], -1).reshape(2, 42, 10)
    contrast = np.abs(pixels[..., :3] - np.median(pixels[..., :3], 1, keepdims=True)).max(-1)
    parts = [
        params["scales"][0] * pixels[..., :3],
        params["scales"][1] * contrast[..., None] * pixels[..., 3:5],
        0.1 * oracles.dense(params["embedding"], pixels[..., 5:]),
    ]
    embedding = np.concatenate(parts, -1)
    queries = embedding[:, [5, 20, 33]] + 0.1 * rng.normal(size=(2, 3, 8))  # they find something
    variables = {"params": jax.tree.map(jnp.asarray, params)}
    actual = module.apply(variables, jnp.asarray(frame), jnp.asarray(queries))
    np.testing.assert_allclose(actual.queries, queries)
    for b, (e, values) in enumerate(zip(embedding, pixels, strict=True)):
        wanted = np.exp(-((e - queries[b][:, None]) ** 2).sum(-1))
        taken = wanted / np.maximum(wanted.sum(0), 1.0)
        areas = taken.sum(1, keepdims=True)
        inputs = np.append(taken @ values / (areas + 1e-6), np.log(areas / 42 + 1e-3), axis=1)
        delta = oracles.dense(params["out"], oracles.elu(oracles.dense(params["hidden"], inputs)))
        expected = delta[:, :4], delta[:, 4:]
        for ours, theirs in zip(actual.delta, expected, strict=True):
            np.testing.assert_allclose(ours[b], theirs, rtol=1e-4)
        shares = (taken + 1e-6) / (taken + 1e-6).sum(0)
        np.testing.assert_allclose(actual.shares[b, ..., 0].reshape(3, -1), shares, rtol=1e-4)
        masks = rng.random((2, 3, 6, 7))
        weights = masks[b].reshape(3, 42)
        moved = (weights @ e + 0.1 * queries[b]) / (weights.sum(1, keepdims=True) + 0.1)
        np.testing.assert_allclose(follow(actual, jnp.asarray(masks))[b], moved, rtol=1e-4)
