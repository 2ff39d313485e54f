"""Simulation by the relational prior: places, roll-outs, and what a simulated frame is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiid.method import generation, likelihood
from stiid.method.elbo import ElboWeights
from stiid.method.inference import infer_frame, infer_video
from stiid.method.parameters import init_params
from stiid.method.simulation import mean_sizes, places_of, roll_out, roll_out_errors

WEIGHTS = ElboWeights(beta=5.0, psi=0.7)


@pytest.fixture(scope="module")
def case(make_model):
    """A model with a relational prior that was trained, as it were, and the one without it."""
    plain = make_model(kernel_size=1)
    model = make_model(kernel_size=1, simulation_start="relational")
    params = init_params(model, jax.random.key(0))
    rng = np.random.default_rng(0)
    for part in params["relational"].values():
        kernel = part["out"]["kernel"]
        part["out"]["kernel"] = jnp.asarray(rng.normal(0.0, 0.3, kernel.shape), jnp.float32)
    return model, plain, params


def run(model, params, observed, simulated):
    rng = np.random.default_rng(1)
    video = jnp.asarray(rng.random((2, observed, 8, 8, 3)), jnp.float32)
    noise = jnp.asarray(rng.normal(size=(observed + simulated, 3, 2, 3, 4)), jnp.float32)
    noise = noise.at[observed:].set(0.0)
    return infer_video(model, params, video, noise, WEIGHTS, num_simulated=simulated)


def tracks(frames, slots=3):
    rng = np.random.default_rng(2)
    first = rng.uniform(-1.0, 1.0, (1, 2, slots, 2))
    places = first + 0.05 * rng.normal(size=(frames, 2, slots, 2))
    sizes = rng.uniform(0.01, 0.5, (2, slots))
    return jnp.asarray(places, jnp.float32), jnp.asarray(sizes, jnp.float32)


def test_places_by_hand():
    """Four columns and two rows; slot 0 has the left half, 1 one pixel, 2 the rest, 3 nothing."""
    masks = np.zeros((4, 2, 4))
    masks[0, :, :2], masks[1, 0, 3], masks[2, :, 2], masks[2, 1, 3] = 1.0, 1.0, 1.0, 1.0
    places, areas = places_of(jnp.asarray(masks[None]))
    expected = [[-0.5, 0.0], [0.75, -0.5], [(0.25 + 0.25 + 0.75) / 3, 0.5 / 3], [0.0, 0.0]]
    np.testing.assert_allclose(places[0], expected, rtol=1e-6)
    np.testing.assert_allclose(areas[0], [4 / 8, 1 / 8, 3 / 8, 0.0])


def test_sizes_are_means_over_frames_that_show_the_slot():
    areas = jnp.asarray([[[0.5, 0.0, 0.2]], [[0.3, 0.0, 0.0]]])
    np.testing.assert_allclose(mean_sizes(areas), [[0.4, 0.0, 0.2]], rtol=1e-6)


def test_each_frame_follows_from_those_before_it(case):
    model, _, params = case
    places, sizes = tracks(frames=9)
    rolled = roll_out(model, params, places, sizes, num_frames=3)
    known = places
    for following in rolled:
        past = jnp.swapaxes(known[-model.motion.window :], 0, 1)
        expected = model.predict_places(params, past, sizes)
        np.testing.assert_allclose(following, expected, rtol=1e-5, atol=1e-6)
        known = jnp.concatenate([known, following[None]])


def test_what_is_empty_stays_where_it_is_and_moves_nothing(case):
    """An untrained place of an empty slot, far away, would be decoded as more background."""
    model, _, params = case
    places, sizes = tracks(frames=9)
    rolled = roll_out(model, params, places, sizes.at[:, 1].set(0.0), num_frames=3)
    np.testing.assert_array_equal(rolled[:, :, 1], jnp.broadcast_to(places[-1, :, 1], (3, 2, 2)))
    there = jnp.array([0, 2])
    others = roll_out(model, params, places[:, :, there], sizes[:, there], num_frames=3)
    np.testing.assert_allclose(rolled[:, :, there], others, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_before_the_first_frame_slots_moved_in_a_line(case, frames):
    model, _, params = case
    places, sizes = tracks(frames)
    step = places[1] - places[0] if frames > 1 else jnp.zeros_like(places[0])
    before = [places[0] - n * step for n in range(model.motion.window, 0, -1)]
    whole = jnp.concatenate([jnp.stack(before), places])
    ours, expected = (roll_out(model, params, x, sizes, num_frames=2) for x in (places, whole))
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_errors_are_distances_of_slots_that_are_there(case):
    model, _, params = case
    places, sizes = tracks(frames=10)
    sizes = sizes.at[0, 1].set(0.0)
    rolled = roll_out(model, params, places[:8], sizes, num_frames=2)
    distances = np.linalg.norm(rolled - places[8:], axis=-1)
    expected = [distance[np.asarray(sizes) > 0].mean() for distance in distances]
    errors = roll_out_errors(model, params, places, sizes, num_frames=2)
    np.testing.assert_allclose(errors, expected, rtol=1e-3)


def test_a_simulated_frame_decodes_latents_that_were_moved(case):
    """With the hidden state of the last observed frame, and without refinement."""
    model, _, params = case
    result = run(model, params, observed=3, simulated=2)
    observed = run(model, params, observed=3, simulated=0)
    places, areas = places_of(observed.frames.masks)
    there = roll_out(model, params, places, mean_sizes(areas), num_frames=2)
    for t in (0, 1):
        z = model.move(params, observed.last.last.mean, places[-1], there[t])
        decoded = generation.decode(model, params, z, observed.last.time.h)
        masks = likelihood.slot_masks(decoded.logits)
        image = likelihood.mix(masks, decoded.means)
        frame = jax.tree.map(lambda x, t=t: x[3 + t], result.frames)
        for actual, expected in (
            (frame.posterior.mean, z),
            (frame.masks, masks[..., 0]),
            (frame.reconstruction, image),
        ):
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(result.frames.posterior.mean[4] - observed.last.last.mean).max() > 1e-2
    assert result.terms[-1].nll.shape == (2, 1, 2)
    np.testing.assert_allclose(result.terms[-1].kl, 0.0, atol=1e-5)


def test_observed_frames_are_those_of_the_model_without_it(case):
    model, plain, params = case
    ours = run(model, params, observed=3, simulated=2).frames
    theirs = run(plain, params, observed=3, simulated=0).frames
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:3], b), ours, theirs)


def test_other_parameters_are_initialized_as_without_it(case):
    _, plain, params = case
    expected = init_params(plain, jax.random.key(0))
    ours = {name: part for name, part in params.items() if name != "relational"}
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_a_single_frame_cannot_be_simulated_alone(case):
    model, _, params = case
    start = run(model, params, observed=2, simulated=0).last
    with pytest.raises(ValueError, match="needs the masks of several frames: simulate by infer_v"):
        infer_frame(model, params, start, None, jnp.zeros((2, 2, 3, 4)), WEIGHTS)
