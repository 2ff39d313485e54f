"""Oracle: the grid of (t, r) as two plain loops in float64 (``oracles.infer_video``)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import tiny

from stiid.method.elbo import ElboWeights
from stiid.method.inference import first_frame, infer_frame, infer_video
from stiid.method.schedule import schedule
from stiid.models.base import unit_range

WEIGHTS = ElboWeights(beta=5.0, psi=0.7)
EXACT = {"rtol": 1e-8, "atol": 1e-8}
IODINE = {"time_axis": "none", "grid": "full", "conditional_prior": False, "generation": False}
SEQ_IODINE = IODINE | {"time_axis": "chain", "last_decode": False}
SWITCHES = {
    "channel mixture": {"mixture": "channel"},
    "softmax posterior mask": {"posterior_mask": "softmax"},
    "variance": {"variance": 0.09},
    "start at the prior": {"posterior_start": "prior"},
    "standard first prior": {"first_prior": "standard"},
    "no conditional prior": {"conditional_prior": False},
    "no generation": {"generation": False},
    "bounded log-variance": {"log_var_range": (-0.1, 0.1)},
    "gradient skip": {"gradient_skip": 0.3},
    "full grid": {"grid": "full"},
    "gradient scale": {"gradient_scale": 1e-3},
    "gradient clamp": {"gradient_clamp": 0.05},
    "delta clamp": {"delta_clamp": 0.1},
    "scored before the last refinement": {"last_decode": False},
    "IODINE": IODINE,
    "SEQ-IODINE": SEQ_IODINE | {"gradient_clamp": 0.5, "delta_clamp": 0.3},
}


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


def differ(a, b, *, by=1e-4):
    return np.abs(np.asarray(a) - np.asarray(b)).max() > by


@pytest.fixture
def paper(make_model, random_params, eager_float64):
    """The default model with parameters."""
    model = make_model(kernel_size=1)
    return model, random_params(model)


@pytest.fixture(scope="module")
def paper_result(make_model, random_params):
    """The outcome of the default model on the default inputs."""
    model = make_model(kernel_size=1)
    with jax.enable_x64(True), jax.disable_jit():
        return infer_video(model, random_params(model), *random_inputs(), WEIGHTS)


# --- the whole grid -------------------------------------------------------------------------------


def assert_equals_oracle(model, params, inputs, result):
    frames = oracles.infer_video(model, params, *inputs, beta=WEIGHTS.beta, psi=WEIGHTS.psi)
    for t, (terms, frame) in enumerate(zip(terms_of_frames(result), frames, strict=True)):
        for name, values in terms._asdict().items():
            np.testing.assert_allclose(values, getattr(frame, name), err_msg=f"{t} {name}", **EXACT)
        for name, values in result.frames._asdict().items():
            for actual, expected in zip(
                jax.tree.leaves(values), jax.tree.leaves(getattr(frame, name)), strict=True
            ):
                np.testing.assert_allclose(actual[t], expected, err_msg=f"{t} {name}", **EXACT)


def test_grid_equals_the_oracle(paper, paper_result):
    assert_equals_oracle(*paper, random_inputs(), paper_result)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.usefixtures("eager_float64")
def test_each_switch_does_what_the_oracle_says(make_model, random_params, paper_result, name):
    model = make_model(kernel_size=1, **SWITCHES[name])
    params, inputs = random_params(model), random_inputs()
    result = infer_video(model, params, *inputs, WEIGHTS)
    assert_equals_oracle(model, params, inputs, result)
    final = [terms.nll[-1] + terms.kl[-1].sum(-1) for terms in terms_of_frames(result)]
    usual = [terms.nll[-1] + terms.kl[-1].sum(-1) for terms in terms_of_frames(paper_result)]
    assert differ(final, usual)


@pytest.mark.slow
def test_grids_longer_and_shorter_than_r_equal_the_oracle(make_model, random_params, eager_float64):
    for refinements, frames in ((3, 2), (1, 2)):
        model = make_model(kernel_size=1, refinements=refinements)
        params = random_params(model)
        inputs = random_inputs(frames=frames, refinements=refinements)
        assert_equals_oracle(model, params, inputs, infer_video(model, params, *inputs, WEIGHTS))


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


# --- relations ------------------------------------------------------------------------------------


def test_slots_permute(paper, paper_result):
    order = [2, 0, 1]
    video, noise = random_inputs()
    result = infer_video(*paper, video, noise[:, :, :, order], WEIGHTS)
    close(result.frames.masks, paper_result.frames.masks[:, :, order])
    close(result.frames.means, paper_result.frames.means[:, :, order])
    close(result.frames.reconstruction, paper_result.frames.reconstruction)
    for terms, expected in zip(result.terms, paper_result.terms, strict=True):
        slots = {"kl": expected.kl[..., order], "areas": expected.areas[..., order]}
        close(terms, expected._replace(**slots))


@pytest.mark.slow
def test_a_video_does_not_depend_on_its_batch(paper, paper_result):
    video, noise = random_inputs()
    result = infer_video(*paper, video[1:], noise[:, :, 1:], WEIGHTS)
    close(result.frames, jax.tree.map(lambda leaf: leaf[:, 1:], paper_result.frames))
    close(result.terms, jax.tree.map(lambda leaf: leaf[:, :, 1:], paper_result.terms))


@pytest.mark.parametrize("frame", [1, 2])
def test_a_frame_leaves_the_past_as_it_is(paper, paper_result, frame):
    video, noise = random_inputs()
    video[:, frame] = 1.0 - video[:, frame]
    result = infer_video(*paper, video, noise, WEIGHTS).frames
    past = jax.tree.map(lambda leaf: leaf[:frame], (result, paper_result.frames))
    jax.tree.map(np.testing.assert_array_equal, *past)
    for t in range(frame, 3):
        assert differ(result.masks[t], paper_result.frames.masks[t], by=1e-6)


@pytest.mark.slow
def test_the_number_of_slots_may_differ_from_training(paper):
    model, params = paper
    infer = jax.jit(lambda video, noise: infer_video(model, params, video, noise, WEIGHTS))
    for slots in (1, 5):
        inputs = random_inputs(slots=slots, frames=2)
        with jax.disable_jit(False):  # new shapes: one program compiles faster than each operation
            masks = infer(*inputs).frames.masks
        assert masks.shape == (2, 2, slots, 8, 8)
        close(masks.sum(2), np.ones((2, 2, 8, 8)))


def test_unused_noise_is_unused(paper, paper_result):
    video, noise = random_inputs()
    noise[1, 2], noise[2, 2] = np.nan, np.nan  # R̂ = 2, 1, 1: frame 1 and 2 need two rows
    close(infer_video(*paper, video, noise, WEIGHTS), paper_result)


def test_wrong_noise_and_image_size_are_refused(paper):
    video, noise = random_inputs()
    expected = (
        r"noise: expected shape \[T, R\+1, B, K, D\] = \(3, 3, 2, K, 4\), got \(3, 2, 2, 3, 4\)"
    )
    with pytest.raises(ValueError, match=expected):
        infer_video(*paper, video, noise[:, :2], WEIGHTS)
    with pytest.raises(ValueError, match=r"video: .* = \(B, T, 8, 8, 3\), got \(2, 3, 7, 8, 3\)"):
        infer_video(*paper, video[:, :, :7], noise, WEIGHTS)
    with pytest.raises(ValueError, match=r"video: .* = \(B, T, 8, 8, 3\), got \(2, 3, 8, 8, 1\)"):
        infer_video(*paper, video[..., :1], noise, WEIGHTS)


def test_a_frame_of_another_size_is_refused(paper):
    model, params = paper
    start = first_frame(model, params, batch=2, num_slots=3)
    video, noise = random_inputs()
    with pytest.raises(ValueError, match=r"frame: .* = \(2, 8, 8, 3\), got \(2, 8, 8, 1\)"):
        infer_frame(model, params, start, video[:, 0, ..., :1], noise[0], WEIGHTS)
    with pytest.raises(ValueError, match=r"noise: .* = \(R\+1, 2, 3, 4\), got \(3, 2, 4, 4\)"):
        infer_frame(model, params, start, video[:, 0], np.zeros((3, 2, 4, 4)), WEIGHTS)


def test_videos_are_bytes():
    bytes_ = jnp.array([[0, 51, 255]], jnp.uint8)
    np.testing.assert_allclose(unit_range(bytes_), [[0.0, 0.2, 1.0]], rtol=1e-6)
    with pytest.raises(ValueError, match="videos must be uint8, 0 … 255, got float32"):
        unit_range(bytes_ / 255.0)


def test_frames_are_independent_without_a_time_axis(make_model, random_params, eager_float64):
    model = make_model(kernel_size=1, **IODINE)
    params, (video, noise) = random_params(model), random_inputs()
    frames = infer_video(model, params, video, noise, WEIGHTS).frames
    order = [2, 0, 1]
    permuted = infer_video(model, params, video[:, order], noise[order], WEIGHTS).frames
    close(permuted, jax.tree.map(lambda leaf: leaf[np.array(order)], frames))
    for t in range(3):
        alone = infer_video(model, params, video[:, t : t + 1], noise[t : t + 1], WEIGHTS).frames
        close(alone, jax.tree.map(lambda leaf, t=t: leaf[t : t + 1], frames))


def without_state(result):
    """The frames without the temporal state, which a decoder that sees z alone does not use."""
    return result.frames._replace(context=result.frames.context.prior)


def test_a_chain_is_one_long_run_of_refinements(make_model, random_params, eager_float64):
    """Two frames with the same picture: the second goes on where the first stopped."""
    model, longer = (
        make_model(kernel_size=1, refinements=r, **IODINE | {"time_axis": "chain"}) for r in (1, 2)
    )
    params, (video, noise) = random_params(model), random_inputs(frames=1)
    chained = np.stack([noise[0, [0, 1]], noise[0, [1, 2]]])
    twice = infer_video(model, params, np.repeat(video, 2, 1), chained, WEIGHTS)
    once = infer_video(longer, params, video, noise, WEIGHTS)
    close(
        jax.tree.map(lambda leaf: leaf[1], without_state(twice)),
        jax.tree.map(lambda leaf: leaf[0], without_state(once)),
    )


def test_seq_iodine_is_iodine_whose_picture_moves_on(make_model, random_params, eager_float64):
    """One refinement a frame of a still video: frame t is scored by evaluation t of one run."""
    sequential = make_model(kernel_size=1, refinements=1, **SEQ_IODINE)
    once = make_model(kernel_size=1, refinements=2, **IODINE)
    params, (video, noise) = random_params(once), random_inputs(frames=1)
    rows = np.stack([noise[0], np.full_like(noise[0], np.nan)], axis=1)  # [3, 2, B, K, D]
    result = infer_video(sequential, params, np.repeat(video, 3, 1), rows, WEIGHTS)
    expected = infer_video(once, params, video, noise, WEIGHTS)
    (ours,), (theirs,) = result.terms, expected.terms
    close(jax.tree.map(lambda x: x[:, 0], ours), jax.tree.map(lambda x: x[0], theirs))
    close(jax.tree.map(lambda x: x[2:], without_state(result)), without_state(expected))


@pytest.mark.parametrize("last_decode", [False, True])
def test_seq_iodine_scores_a_frame_by_those_before_it(
    make_model, random_params, eager_float64, last_decode
):
    switches = SEQ_IODINE | {"refinements": 1, "last_decode": last_decode}
    model = make_model(kernel_size=1, **switches)
    params, (video, noise) = random_params(model), random_inputs(refinements=1)
    before = infer_video(model, params, video, noise, WEIGHTS).frames.masks
    video[:, 1] = 1.0 - video[:, 1]
    after = infer_video(model, params, video, noise, WEIGHTS).frames.masks
    changed = [differ(before[t], after[t], by=1e-9) for t in range(3)]
    assert changed == [False, last_decode, True]


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
    states of the LSTM).
    """
    plain, remat = (make_model(refinements=1, remat=flag) for flag in (False, True))
    params = random_params(plain, dtype=np.float32)
    latent, state = 2 * plain.prior.latent_size, plain.refiner.lstm_features
    images, vectors = kept_per_frame(remat, params)
    assert images == 8 * 8 * (3 + 1)
    assert latent < vectors <= 6 * (latent + state)
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
    kept = 3 * (8 * 8 * (3 + 1) + 8 + 4 * (8 + 6)) + 8 * 8 * 3
    assert 0 < per_frame <= 4 * kept


def test_terms_describe_the_masks(paper_result):
    """Σ_i H(m_i) and Σ_i m_i of the last decodes."""
    masks = np.asarray(paper_result.frames.masks)
    last = [jnp.concatenate([run[i][:, -1] for run in paper_result.terms]) for i in (2, 3)]
    close(last[0], -(masks * np.log(masks)).sum((2, 3, 4)))
    close(last[1], masks.sum((3, 4)))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_every_parameter_is_trained(make_model, random_params):
    model = make_model(refinements=2, gradient_skip=0.3)
    params = random_params(model, dtype=np.float32)
    inputs = random_inputs(frames=2, dtype=np.float32)

    @jax.jit
    @jax.grad
    def gradient(params):
        runs = infer_video(model, params, *inputs, WEIGHTS).terms
        return sum(run.nll.sum() + run.kl.sum() for run in runs)

    for path, leaf in jax.tree.leaves_with_path(gradient(params)):
        assert np.isfinite(leaf).all(), path
        assert leaf.any(), path
