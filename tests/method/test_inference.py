"""Oracle: the grid of (t, r) as two plain loops in float64 (``oracles.infer_video``)."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from inference_case import EXACT, WEIGHTS, close, random_inputs, terms_of_frames

from stiid.method.inference import first_frame, infer_frame, infer_video
from stiid.models.base import unit_range

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
    "residual prior": {"residual_prior": True},
    "masks that see the frame": {"result_masks": "posterior"},
    "full grid": {"grid": "full"},
    "gradient scale": {"gradient_scale": 1e-3},
    "gradient clamp": {"gradient_clamp": 0.05},
    "delta clamp": {"delta_clamp": 0.1},
    "scored before the last refinement": {"last_decode": False},
    "IODINE": IODINE,
    "SEQ-IODINE": SEQ_IODINE | {"gradient_clamp": 0.5, "delta_clamp": 0.3},
}


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


def assert_equals_oracle(model, params, inputs, result):
    frames = oracles.infer_video(model, params, *inputs, beta=WEIGHTS.beta, psi=WEIGHTS.psi)
    for t, (terms, frame) in enumerate(zip(terms_of_frames(result), frames, strict=True)):
        given = {name: values for name, values in terms._asdict().items() if values is not None}
        assert given.keys() == terms._asdict().keys() - {"assigned"}  # no slot starts from a seed
        for name, values in given.items():
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
    if name == "masks that see the frame":  # the result is all that it changes
        final, usual = ([some.frames.masks] for some in (result, paper_result))
    assert differ(final, usual)


@pytest.mark.slow
def test_grids_longer_and_shorter_than_r_equal_the_oracle(make_model, random_params, eager_float64):
    for refinements, frames in ((3, 2), (1, 2)):
        model = make_model(kernel_size=1, refinements=refinements)
        params = random_params(model)
        inputs = random_inputs(frames=frames, refinements=refinements)
        assert_equals_oracle(model, params, inputs, infer_video(model, params, *inputs, WEIGHTS))


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
    """Two frames with the same image: the second goes on where the first stopped."""
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


def test_seq_iodine_is_iodine_whose_image_moves_on(make_model, random_params, eager_float64):
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
