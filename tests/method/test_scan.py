"""The scan over frames and rematerialization. Oracle: a loop over frames; without both."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from inference_case import WEIGHTS, close, random_inputs, terms_of_frames

from stiid.method.inference import first_frame, infer_frame, infer_video
from stiid.method.schedule import schedule


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_scan_and_its_gradient_equal_a_loop_in_float64(make_model, random_params):
    """Compiled. The loop goes over frames one by one, where the scan runs over all at once."""
    model = make_model(kernel_size=1, refinements=1)
    params, (video, noise) = random_params(model), random_inputs(refinements=1)

    def cost(terms):
        return (terms.nll + 0.7 * terms.kl.sum(-1)).sum()

    def by_scan(params):
        result = infer_video(model, params, video, noise, WEIGHTS)
        return sum(map(cost, result.terms)), result.frames.reconstruction

    def by_loop(params):
        start, total, images = first_frame(model, params, batch=2, num_slots=3), 0.0, []
        for t in range(3):
            start, (terms, frame) = infer_frame(
                model, params, start, video[:, t], noise[t], WEIGHTS
            )
            total += cost(terms)
            images.append(frame.reconstruction)
        return total, jnp.stack(images)

    with tiny.quick_compilation():
        actual, expected = (
            jax.jit(jax.value_and_grad(run, has_aux=True))(params) for run in (by_scan, by_loop)
        )
    assert actual[0][0].dtype == np.float64
    close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "refinements", "num_frames"),
    [
        ("triangular", 1, 3),
        ("triangular", 2, 2),
        ("triangular", 3, 2),
        ("alternative", 3, 3),
        ("full", 2, 3),
    ],
)
@pytest.mark.usefixtures("quick_compilation")
def test_scan_equals_a_loop_over_frames(make_model, random_params, grid, refinements, num_frames):
    """Compiled, in float32 and with 3×3 kernels."""
    check_scan_and_loop(make_model, random_params, grid, refinements, num_frames)


@pytest.mark.slow
def test_scan_equals_a_loop_as_it_is_compiled_for_training(make_model, random_params):
    check_scan_and_loop(make_model, random_params, "triangular", 2, 4)


def check_scan_and_loop(make_model, random_params, grid, refinements, num_frames):
    model = make_model(refinements=refinements, grid=grid)
    params = random_params(model, dtype=np.float32)
    video, noise = random_inputs(frames=num_frames, refinements=refinements, dtype=np.float32)
    result = jax.jit(infer_video, static_argnums=0)(model, params, video, noise, WEIGHTS)

    step = jax.jit(infer_frame, static_argnums=0)
    shared = make_model()  # one program for each R̂, whatever the grid
    start, seen = first_frame(model, params, batch=2, num_slots=3), []
    for t, count in enumerate(schedule(grid, refinements=refinements, num_frames=num_frames)):
        start, output = step(shared, params, start, video[:, t], noise[t, : count + 1], WEIGHTS)
        seen.append(output)
    tolerance = {"rtol": 1e-3, "atol": 1e-3}
    for t, (terms, (expected_terms, expected)) in enumerate(
        zip(terms_of_frames(result), seen, strict=True)
    ):
        close(terms, expected_terms, **tolerance)
        close(jax.tree.map(lambda leaf, t=t: leaf[t], result.frames), expected, **tolerance)
    close(result.last, start, **tolerance)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize(("frames", "refinements", "unroll"), [(2, 1, 0), (1, 2, 1)])
def test_rematerialization_changes_no_number(
    make_model, random_params, frames, refinements, unroll
):
    """In float64; with two refinements also as a loop instead of unrolled."""
    inputs = random_inputs(frames=frames, refinements=refinements)

    def loss(params, model):
        result = infer_video(model, params, *inputs, WEIGHTS)
        terms = sum(run.nll.sum() + run.kl.sum() for run in result.terms)
        return terms, result.frames

    with jax.enable_x64(True):
        switches = {"kernel_size": 1, "refinements": refinements}
        plain = make_model(**switches)
        other = make_model(**switches, unroll=unroll, remat=True)
        value_and_grad = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
        params = random_params(plain)
        close(value_and_grad(params, other), value_and_grad(params, plain))


def kept_per_frame(model, params):
    """What the scan over time hands to its backward pass: elements for each frame and slot.

    Returns:
      Those of images and of everything else.
    """
    frames, slots = 5, 3
    inputs = random_inputs(frames=frames, refinements=1, batch=1, slots=slots, dtype=np.float32)

    def loss(params):
        result = infer_video(model, params, *inputs, WEIGHTS)
        (terms,) = result.terms
        error = (result.frames.reconstruction**2).mean()
        return terms.nll.sum() + terms.kl.sum(), error

    program = jax.make_jaxpr(jax.grad(loss, has_aux=True))(params)
    forward, backward = (e for e in program.eqns if e.primitive.name == "scan")
    made = set(forward.outvars)
    kept = [v for v in backward.invars if v in made and v.aval.shape[:1] == (frames,)]
    images, vectors = (
        [v.aval.size for v in kept if ((8, 8) in itertools.pairwise(v.aval.shape)) == wanted]
        for wanted in (True, False)
    )
    return sum(images) / frames / slots, sum(vectors) / frames / slots


def test_rematerialization_keeps_the_inner_gradients_alone(make_model, random_params):
    """From the traced program: what the forward scan makes and the backward scan reads.

    The inner gradients are C + 1 channels of an image and ∇_λ L; the rest are vectors (λ, prior,
    states of the LSTM), and the frame's convolved inputs, once for all slots.
    """
    plain, remat = (make_model(refinements=1, remat=flag) for flag in (False, True))
    params = random_params(plain, dtype=np.float32)
    latent, state = 2 * plain.prior.latent_size, plain.refiner.lstm_features
    images, vectors = kept_per_frame(remat, params)
    assert images == 8 * 8 * (3 + 1)
    shared = plain.refiner.features * (8 // plain.refiner.stride) ** 2 / 3  # for three slots
    assert latent < vectors - shared <= 6 * (latent + state)
    # One decoder's activations are not all that a cell keeps otherwise.
    activations = 8 * 8 * plain.decoder.features * plain.decoder.layers
    assert kept_per_frame(plain, params)[0] > activations


@pytest.mark.slow
def test_memory_of_the_backward_pass_hardly_grows_with_the_clip(make_model, random_params):
    """XLA's own account of the compiled program."""
    model = make_model(refinements=1, remat=True)
    params = random_params(model, dtype=np.float32)

    def temporaries(frames):
        inputs = random_inputs(frames=frames, refinements=1, batch=1, dtype=np.float32)

        @jax.grad
        def gradient(params):
            (terms,) = infer_video(model, params, *inputs, WEIGHTS).terms
            return terms.nll.sum() + terms.kl.sum()

        compiled = jax.jit(gradient).lower(params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    per_frame = (temporaries(24) - temporaries(8)) / 16
    # The test above, for three slots, and the frame itself.
    shared = model.refiner.features * (8 // model.refiner.stride) ** 2
    kept = 3 * (8 * 8 * (3 + 1) + 8 + 4 * (8 + 6)) + 8 * 8 * 3 + shared
    assert 0 < per_frame <= 4 * kept
