"""SAVi's recursion, its loss and its decompositions. Oracles: loops, NumPy, relations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from devices_case import three_updates
from savi_case import draw, random_like

import stiid
from stiid.method import likelihood
from stiid.models.base import CuedVideo, Decoding, Latents, StreamingModel, with_objects
from stiid.models.savi import procedure
from stiid.models.savi.config import SaviConfig

pytestmark = pytest.mark.usefixtures("quick_compilation")

B, T, K = 2, 4, 3
SHAPE = (8, 8, 3)
SMALL = SaviConfig(
    num_slots=K,
    start="sampled",
    slot_size=8,
    first_iterations=2,
    heads=2,
    predictor_mlp=6,
    kernel_size=3,
    encoder_features=(4, 5),
    encoder_strides=(1, 2),
    encoder_mlp=6,
    decoder_features=(4, 4),
    doublings=1,
)
KEYS = jax.vmap(jax.random.key)(jnp.arange(B))


def video(seed=0, *, batch=B, length=T):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (batch, length, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module", params=["sampled", "learned"])
def small(request):
    """Both starts; weights large enough for slots to differ."""
    return make(request.param)


@pytest.fixture(scope="module")
def sampled():
    return make("sampled")


def make(start):
    model = dataclasses.replace(SMALL, start=start).build(SHAPE)
    return model, random_like(jax.eval_shape(model.init, jax.random.key(0)), scale=1.0)


def decompose(case, frames, *, keys=KEYS, num_simulated=0, num_slots=K, restarts=1):
    model, params = case
    decoding = Decoding(num_slots=num_slots, restarts=restarts)
    function = jax.jit(
        lambda p, v, k: model.decompose(p, v, k, decoding, num_simulated=num_simulated)
    )
    return jax.device_get(function(params, frames, keys))


def assert_close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)


def by_hand(case, frames, num_simulated=0):
    """Slots of all frames of a video, in a Python loop, by the networks themselves."""
    model, params = case
    apply = lambda name, *inputs: getattr(model, name).apply({"params": params[name]}, *inputs)  # noqa: E731
    predicted, slots = np.asarray(model._start(params, KEYS, None, num_slots=K)), []
    for t in range(frames.shape[1] + num_simulated):
        corrected = predicted
        if t < frames.shape[1]:
            inputs = apply("encoder", frames[:, t] / np.float32(255))
            corrected = apply("corrector", predicted, inputs, 1 if t else 2)
        slots.append(corrected)
        predicted = apply("predictor", corrected)
    return np.stack(slots, axis=1)


def test_scan_equals_a_loop_and_its_roll_out(small):
    """Correct, predict, and so on; frames without an input are predicted only."""
    result = decompose(small, video(), num_simulated=2)
    slots = by_hand(small, video(), num_simulated=2)
    np.testing.assert_allclose(result.latents.z, slots, rtol=1e-3, atol=1e-4)
    assert result.latents.h.shape == (B, T + 2, K, 0)
    model, params = small
    for t in (0, T + 1):
        decoded = model.decoder.apply({"params": params["decoder"]}, slots[:, t])
        masks = likelihood.slot_masks(decoded.logits)
        np.testing.assert_allclose(result.masks[:, t], masks[..., 0], rtol=1e-3, atol=1e-4)
        image = np.clip(likelihood.mix(masks, decoded.means), 0, 1)
        np.testing.assert_allclose(result.reconstruction[:, t], image, rtol=1e-3, atol=1e-4)
    assert result.means.shape == (B, T + 2, K, *SHAPE)
    np.testing.assert_allclose(result.masks.sum(2), 1.0, rtol=1e-5)
    assert not result.kl.any()


def test_loss_is_the_squared_error_of_all_frames(small):
    model, params = small
    terms = jax.jit(model.loss)(params, video(), KEYS)
    slots = by_hand(small, video())
    decoded = model.decoder.apply({"params": params["decoder"]}, slots.reshape(B * T, K, -1))
    image = likelihood.mix(likelihood.slot_masks(decoded.logits), decoded.means)
    error = (np.asarray(image).reshape(B, T, *SHAPE) - video() / 255) ** 2  # not cut to [0, 1]
    np.testing.assert_allclose(terms.total, error.sum((1, 2, 3, 4)), rtol=1e-3)
    np.testing.assert_allclose(terms.mse, error.mean((1, 2, 3, 4)), rtol=1e-3)
    np.testing.assert_array_equal(terms.nll, terms.total)
    assert not terms.kl.any()


def test_gradients_reach_every_network(small):
    model, params = small
    gradient = jax.jit(jax.grad(lambda p: model.loss(p, video(), KEYS).total.sum()))(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_slots_are_exchangeable(sampled):
    """Starting from the slots in another order, everything comes out in that order."""
    model, params = sampled
    order = np.array([2, 0, 1])
    frames = jnp.asarray(draw(3, B, T, *SHAPE))
    start = model._start(params, KEYS, None, num_slots=K)
    run = jax.jit(model._observe)
    slots, predicted = run(params, start, frames)
    others, later = run(params, start[:, order], frames)
    assert np.abs(slots - others).max() > 1e-2
    np.testing.assert_allclose(others, slots[:, :, order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(later, predicted[:, order], rtol=1e-4, atol=1e-5)


def test_a_video_has_its_own_slots(sampled):
    """Whatever batch it is in; noise comes from its key alone."""
    both = decompose(sampled, video())
    alone = decompose(sampled, video()[1:], keys=KEYS[1:])
    assert_close(jax.tree.map(lambda x: x[0], alone), jax.tree.map(lambda x: x[1], both))
    other = decompose(sampled, video()[1:], keys=KEYS[:1])
    assert np.abs(other.masks - alone.masks).max() > 1e-3


def test_inference_is_causal(small):
    changed = video()
    changed[:, -1] = 255 - changed[:, -1]
    ours, theirs = decompose(small, video()), decompose(small, changed)
    np.testing.assert_allclose(ours.masks[:, :-1], theirs.masks[:, :-1], atol=1e-5)
    assert np.abs(ours.masks[:, -1] - theirs.masks[:, -1]).max() > 1e-3


def test_a_stream_equals_the_whole_video(small):
    model, params = small
    assert isinstance(model, StreamingModel)
    whole = decompose(small, video()[:1], keys=KEYS[:1])
    parts = list(model.stream(params, video()[0], KEYS[0], Decoding(num_slots=K)))
    assert len(parts) == T
    assert_close(jax.tree.map(lambda *x: np.concatenate(x, axis=1), *parts), whole)


def test_slots_decode_to_what_was_inferred(small):
    model, params = small
    result = decompose(small, video())
    assert model.latent_sizes == (8, 0)
    decoded = jax.jit(model.decode)(params, Latents(*result.latents))
    for name in ("reconstruction", "masks", "means"):
        np.testing.assert_allclose(
            getattr(decoded, name), getattr(result, name), rtol=1e-4, atol=1e-5
        )


def test_any_number_of_sampled_slots(sampled):
    assert decompose(sampled, video(), num_slots=5).masks.shape == (B, T, 5, 8, 8)
    with pytest.raises(ValueError, match=r"a vector for each of 3 slots, got 5: train with"):
        decompose(make("learned"), video(), num_slots=5)


@pytest.mark.parametrize("start", ["boxes", "centers"])
def test_slots_start_from_the_objects_of_the_first_frame(start):
    """Slot k has what slot j had, if object k was object j; the background's slot stays."""
    case = make(start)
    objects = np.zeros((B, 8, 8), np.uint8)
    objects[:, 1:3, 1:4], objects[:, 5:, 6:] = 1, 2
    exchanged = np.array([0, 2, 1], np.uint8)[objects]
    one, two = (decompose(case, CuedVideo(video(), x)) for x in (objects, exchanged))
    np.testing.assert_allclose(two.masks, one.masks[:, :, [0, 2, 1]], rtol=1e-4, atol=1e-5)
    assert np.abs(two.masks - one.masks).max() > 1e-3
    moved = np.roll(objects, 2, axis=1)
    assert np.abs(decompose(case, CuedVideo(video(), moved)).masks - one.masks).max() > 1e-3


def test_cues_are_given_to_those_who_need_them(sampled):
    cued, masks = make("boxes")[0], np.arange(B * T * 64, dtype=np.uint8).reshape(B, T, 8, 8)
    assert with_objects(sampled[0], "video", masks) == "video"
    given = with_objects(cued, "video", masks)
    assert given.video == "video"
    np.testing.assert_array_equal(given.objects, masks[:, 0])
    with pytest.raises(ValueError, match=r"true objects of the first frame .* there are none: use"):
        with_objects(cued, "video", None)
    stream = cued.stream(None, video()[0], KEYS[0], Decoding(num_slots=K))
    with pytest.raises(ValueError, match="which a stream does not have"):
        next(stream)


def test_restarts_are_refused(small):
    with pytest.raises(ValueError, match="restarts: SAVi starts once, got 2: set it to 1"):
        decompose(small, video(), restarts=2)


def test_simulated_frames_are_the_predictor_alone():
    steps = procedure.Steps(lambda slots, inputs, n: slots + n * inputs, lambda slots: 2 * slots)
    inputs = jnp.arange(1.0, 4.0).reshape(3, 1)
    slots, predicted = procedure.observe(
        steps, jnp.array([10.0]), inputs, first_iterations=3, iterations=1
    )
    # 10 + 3·1; 2·13 + 2; 2·28 + 3; then doubled.
    np.testing.assert_array_equal(slots[:, 0], [13, 28, 59])
    np.testing.assert_array_equal(predicted, [118])
    future = procedure.simulate(steps, predicted, num_frames=3)
    np.testing.assert_array_equal(future[:, 0], [118, 236, 472])


def experiment_of(data_dir, **changes):
    """The tiny experiment with this family."""
    model = {**vars(SMALL), **changes}
    return tiny.experiment(data_dir, model=model, train__checkpoint_every=2)


@pytest.fixture
def experiment(data_dir):
    return experiment_of(data_dir)


@pytest.mark.slow
def test_it_trains_and_is_tested_with_true_boxes(data_dir, tmp_path, use_devices):
    """From objects that the pipeline reads, and with objects that users give."""
    use_devices(1)
    experiment = experiment_of(data_dir, start="boxes")
    stage = dataclasses.replace(experiment.train.stages["stage_0"], micro_batches=4)
    train = dataclasses.replace(experiment.train, stages={"stage_0": stage})
    tiny.train(dataclasses.replace(experiment, train=train), tmp_path)
    assert np.isfinite(tiny.scores(tmp_path)["lengths"]["4"]["mse"])
    model = stiid.load(tmp_path)
    clips = model.clips(2, num_frames=3)
    result = model.decompose(clips.video, objects=clips.masks[:, 0])
    assert result.masks.shape == (2, 3, K, 8, 8)
    one = model.predict(clips.video[0], num_frames=2, objects=clips.masks[0, 0])
    np.testing.assert_allclose(one.masks[:3], result.masks[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"objects: expected integers of shape \[2, 8, 8\]"):
        model.decompose(clips.video, objects=clips.masks[0, 0])
    with pytest.raises(ValueError, match="there are none"):
        model.decompose(clips.video)


@pytest.mark.slow
def test_eight_devices_train_as_one_does(experiment, use_devices):
    """Losses and Adam's moments, which know how large gradients are, of three updates.

    Not the parameters: soft-max is blind to some of them, which Adam then moves by rounding alone.
    """
    results = {}
    for count in (1, 8):
        use_devices(count)
        (_, moments), losses = three_updates(experiment)
        results[count] = losses, moments
    assert len(set(results[1][0])) == 3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), results[1], results[8]
    )


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(experiment, tmp_path):
    tiny.train(experiment, tmp_path / "whole")
    stages = experiment.train.stages
    first = dataclasses.replace(
        experiment,
        train=dataclasses.replace(experiment.train, stages={"stage_0": stages["stage_0"]}),
    )
    tiny.train(first, tmp_path / "parts")
    tiny.train(experiment, tmp_path / "parts")
    whole, parts = (tiny.state(tmp_path / name) for name in ("whole", "parts"))
    tiny.assert_same(whole.params, parts.params)
    assert tiny.scores(tmp_path / "whole")["lengths"] == tiny.scores(tmp_path / "parts")["lengths"]
