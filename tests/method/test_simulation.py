"""Simulation (section 3.2.3): the oracle's grid, and relations to observed frames."""

import dataclasses

import jax
import numpy as np
import oracles
import pytest
import tiny

from stiid.method.elbo import ElboWeights
from stiid.method.inference import infer_frame, infer_video
from stiid.method.objective import loss, step_weights
from stiid.method.refinement import FrameStart
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.models.spatiotemporal.restarts import sample_noise
from stiid.shapes import Gaussian, LSTMState

WEIGHTS = ElboWeights(beta=5.0, psi=0.7)
EXACT = {"rtol": 1e-8, "atol": 1e-8}

pytestmark = pytest.mark.usefixtures("eager_float64")


def close(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, **EXACT)


def random_inputs(*, observed, simulated):
    rng = np.random.default_rng(0)
    video = rng.random((2, observed, 8, 8, 3))
    return video, rng.normal(size=(observed + simulated, 3, 2, 3, 4))


@pytest.fixture
def paper(make_model, random_params):
    model = make_model(kernel_size=1)
    return model, random_params(model)


@pytest.fixture
def start():
    """Where a frame in the middle of a video may start."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 2, 3, 4))
    state = rng.normal(size=(2, 2, 3, 6))
    gaussians = [Gaussian(*values[i : i + 2]) for i in (0, 2, 4)]
    return FrameStart(*gaussians, LSTMState(*state))


@pytest.mark.slow
@pytest.mark.parametrize("simulation_start", ["prior", "posterior"])
@pytest.mark.parametrize(
    ("grid", "posterior_start", "observed", "simulated"),
    [
        ("triangular", "posterior", 1, 2),
        ("triangular", "posterior", 3, 1),
        ("triangular", "prior", 2, 1),
        ("full", "prior", 1, 2),
    ],
)
def test_simulated_frames_equal_the_oracle(
    make_model, random_params, grid, posterior_start, simulation_start, observed, simulated
):
    starts = {"posterior_start": posterior_start, "simulation_start": simulation_start}
    model = make_model(kernel_size=1, grid=grid, **starts)
    params = random_params(model)
    video, noise = random_inputs(observed=observed, simulated=simulated)
    result = infer_video(model, params, video, noise, WEIGHTS, num_simulated=simulated)
    expected = oracles.infer_video(
        model, params, video, noise, beta=5.0, psi=0.7, num_simulated=simulated
    )
    for t, frame in enumerate(expected):
        for name, values in result.frames._asdict().items():
            close(jax.tree.map(lambda leaf, t=t: leaf[t], values), getattr(frame, name))
    counts = [run.nll.shape for run in result.terms]
    assert sum(frames for frames, *_ in counts) == observed + simulated
    assert counts[-1][:2] == (simulated, 2)  # one refinement, two decodes


def test_masks_that_see_the_frame_are_decoded_alone_in_simulation(make_model, random_params):
    video, noise = random_inputs(observed=1, simulated=1)
    own, plain = (
        infer_video(
            model, random_params(model), video, noise, WEIGHTS, num_simulated=1
        ).frames.masks
        for model in (
            make_model(kernel_size=1, result_masks=kind) for kind in ("posterior", "prior")
        )
    )
    close(own[1], plain[1])
    assert np.abs(own[0] - plain[0]).max() > 1e-3


def test_simulation_leaves_the_observed_frames_as_they_are(paper):
    video, noise = random_inputs(observed=2, simulated=2)
    alone = infer_video(*paper, video, noise[:2], WEIGHTS).frames
    together = infer_video(*paper, video, noise, WEIGHTS, num_simulated=2).frames
    assert together.masks.shape[0] == 4
    first = jax.tree.map(lambda leaf: leaf[:2], together)
    jax.tree.map(np.testing.assert_array_equal, first, alone)


def test_simulation_goes_on_where_inference_ends(paper):
    model, params = paper
    video, noise = random_inputs(observed=2, simulated=2)
    together = infer_video(model, params, video, noise, WEIGHTS, num_simulated=2)
    start = infer_video(model, params, video, noise[:2], WEIGHTS).last
    for t in (2, 3):
        start, (_, frame) = infer_frame(model, params, start, None, noise[t, :2], WEIGHTS)
        close(frame, jax.tree.map(lambda leaf, t=t: leaf[t], together.frames))
    close(start, together.last)


def test_gradients_do_not_enter_a_simulated_frame(paper, start):
    """β and ψ reach a refinement through gradients alone: a simulated one must not see them."""
    frame, noise = np.random.default_rng(2).random((2, 8, 8, 3)), np.zeros((2, 2, 3, 4))

    def posterior(frame, weights):
        return infer_frame(*paper, start, frame, noise, weights)[1][1].posterior

    huge = ElboWeights(beta=5e6, psi=0.0)
    jax.tree.map(np.testing.assert_array_equal, posterior(None, WEIGHTS), posterior(None, huge))
    seen = np.abs(posterior(frame, WEIGHTS).mean - posterior(frame, huge).mean).max()
    assert seen > 1e-4  # or the test could not fail


def test_a_simulated_frame_starts_where_the_switch_says(make_model, random_params, start):
    for kind, begin in (("prior", start.prior), ("posterior", start.last)):
        model = make_model(kernel_size=1, simulation_start=kind, unroll=1)
        noise = np.zeros((1, 2, 3, 4))  # no refinement: one decode of the start itself
        with jax.disable_jit(False):  # JAX refuses loops without a turn there
            _, (_, frame) = infer_frame(model, random_params(model), start, None, noise, WEIGHTS)
        jax.tree.map(np.testing.assert_array_equal, frame.posterior, begin)


def test_each_simulated_frame_follows_from_the_temporal_state(paper, start):
    noise = np.zeros((2, 2, 3, 4))
    means = infer_frame(*paper, start, None, noise, WEIGHTS)[1][1].means
    moved = start._replace(time=jax.tree.map(lambda x: x + 0.5, start.time))
    changed = infer_frame(*paper, moved, None, noise, WEIGHTS)[1][1].means
    assert np.abs(changed - means).max() > 1e-3


OBJECTIVE = dataclasses.replace(tiny.OBJECTIVE, beta=5.0, psi=0.7, num_simulated=2)


def clips():
    video = np.random.default_rng(3).integers(0, 256, (2, 4, 8, 8, 3), np.uint8)
    return video, jax.random.split(jax.random.key(0), 2)


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_simulated_frames_of_a_training_clip_cost_their_likelihood(
    make_model, random_params, mixture
):
    """β times Eq. 1 in NumPy, on top of the loss of the frames in front of them."""
    model = make_model(kernel_size=1, mixture=mixture)
    params, (video, keys) = random_params(model), clips()
    system = SpatioTemporal(model, OBJECTIVE, num_slots=3)
    noise = sample_noise(model, keys, num_frames=4, num_slots=3).at[2:].set(0.0)
    frames = video / 255.0
    result = infer_video(model, params, frames[:, :2], noise, WEIGHTS, num_simulated=2)
    means, masks = np.asarray(result.frames.means[2:]), np.asarray(result.frames.masks[2:])
    truth = np.swapaxes(frames, 0, 1)[2:, :, None]
    exponents = -((truth - means) ** 2) / (2 * model.inference.variance)  # [T, B, K, H, W, C]
    if mixture == "pixel":
        exponents = exponents.sum(-1, keepdims=True)
    nll = -np.log((masks[..., None] * np.exp(exponents)).sum(2)).sum(axis=(0, 2, 3, 4))
    objective = dataclasses.replace(OBJECTIVE, beta=0.0)
    without = loss(objective, model.inference, result, frames).total
    *observed_runs, _ = result.terms
    observed = sum(step_weights("linear", n.shape[1]) @ n.sum(0) for n, *_ in observed_runs)
    expected = without + 5.0 * (observed + nll)
    np.testing.assert_allclose(system.loss(params, video, keys).total, expected, rtol=1e-6)


@pytest.mark.slow
def test_simulated_frames_teach_the_prior(make_model, random_params, quick_compilation):
    """Without a KL divergence nothing else does."""
    model = make_model(kernel_size=1, refinements=1)
    params, (video, keys) = random_params(model), clips()

    def slope(num_simulated):
        objective = dataclasses.replace(OBJECTIVE, psi=0.0, num_simulated=num_simulated)
        system = SpatioTemporal(model, objective, num_slots=3)
        with jax.disable_jit(False):
            function = jax.jit(jax.grad(lambda p: system.loss(p, video, keys).total.sum()))
            prior = function(params)["prior"]
        return max(np.abs(leaf).max() for leaf in jax.tree.leaves(prior))

    assert slope(0) == 0.0
    assert slope(2) > 1e-3


def test_clips_too_short_to_simulate_their_end_are_refused(paper):
    model, params = paper
    video, keys = clips()
    system = SpatioTemporal(model, OBJECTIVE, num_slots=3)
    with pytest.raises(ValueError, match="num_simulated = 2 leaves none of 2 frames to infer"):
        system.loss(params, video[:, :2], keys)
