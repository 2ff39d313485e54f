"""The Python API: against the command line's files and numbers, and how it answers mistakes."""

import dataclasses
import io
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny
from PIL import Image

import stiid
from stiid.cli import modes
from stiid.cli.decompose import Request
from stiid.data import registry
from stiid.evaluation.evaluator import Evaluator
from stiid.models.ddpae.model import DdpaeConfig
from stiid.models.rnem.model import RnemConfig
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.training.restore import restore


@pytest.fixture(scope="module")
def model(trained):
    return stiid.load(trained)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with tiny.quick_compilation():
        yield


@pytest.fixture
def video():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


# --- the same as the command line -----------------------------------------------------------------


def test_a_saved_result_is_what_the_command_writes(model, trained, tmp_path):
    path = tmp_path / "own.mp4"
    tiny.write_video(path)
    result = model.decompose(path, crop=(4, 2, 24, 16), stride=2)
    result.save(tmp_path / "ours")
    request = Request(str(path), (4, 2, 24, 16), 2)
    modes.run("decompose", None, workdir=str(tmp_path), checkpoint=str(trained), video=request)
    theirs = tmp_path / "decompose" / "own"
    ours, expected = tiny.contents(tmp_path / "ours"), tiny.contents(theirs)
    assert ours.keys() == expected.keys()
    assert json.loads(ours["info.json"]) == json.loads(expected["info.json"])
    arrays = np.load(tmp_path / "ours" / "masks.npz")
    for name, value in np.load(theirs / "masks.npz").items():
        np.testing.assert_allclose(arrays[name].astype(int), value.astype(int), atol=1)
    assert result.masks.shape == (6, 3, 8, 8)
    np.testing.assert_array_equal(arrays["slots"], result.slots)


def test_a_stream_gives_the_numbers_of_the_whole_video(model, video):
    result = model.decompose(video, restarts=3)
    streamed = list(model.stream(iter(video), restarts=3))
    assert [frame.number for frame in streamed] == list(range(5))
    for t, frame in enumerate(streamed):
        np.testing.assert_array_equal(frame.image, video[t])
        np.testing.assert_allclose(frame.masks, result.masks[t], atol=1e-5)
        np.testing.assert_allclose(frame.means, result.means[t], atol=1e-5)
        np.testing.assert_allclose(frame.reconstruction, result.reconstruction[t], atol=1e-5)


def test_a_prediction_has_the_numbers_of_the_command(model, trained, tmp_path):
    modes.run("predict", None, workdir=str(tmp_path), checkpoint=str(trained))
    theirs = json.loads((tmp_path / "predict" / "metrics.json").read_text())
    clips = model.clips(2, num_frames=5)
    future = model.predict(clips.video[:, :3], num_frames=2)
    assert future.masks.shape == (2, 5, 3, 8, 8)
    assert future.num_observed == 3
    scores = {
        "observed": stiid.score(future.observed, clips.masks[:, :3]),
        "simulated": stiid.score(future.simulated, clips.masks[:, 3:]),
    }
    for part, ours in scores.items():
        assert ours.keys() == theirs[part].keys() - {"mse"}
        assert ours == pytest.approx({name: theirs[part][name] for name in ours}, abs=1e-6)


def test_scores_of_the_data_are_those_of_an_evaluation(model, trained):
    experiment, state, source, network = restore(None, trained, "latest")
    expected = Evaluator(experiment.evaluate, network, source)(state.params).scores
    clips = model.clips(len(source))
    assert clips.video.shape == (10, 4, 8, 8, 3)
    result = model.decompose(clips.video)
    for length, scores in expected.items():
        ours = stiid.score(result.masks[:, :length], clips.masks[:, :length])
        assert ours == pytest.approx({name: scores[name] for name in ours}, abs=1e-6)


def test_latents_decode_to_what_was_inferred(model, video):
    result = model.decompose(video)
    decoded = model.decode(result.latents.z, result.latents.h)
    np.testing.assert_allclose(decoded.masks, result.masks, atol=1e-5)
    np.testing.assert_allclose(decoded.reconstruction, result.reconstruction, atol=1e-5)
    first = model.decode(result.latents.z[0])  # before the first frame there is no hidden state
    np.testing.assert_allclose(first.means, result.means[0], atol=1e-5)


# --- what a video is ------------------------------------------------------------------------------


def test_every_form_of_a_video_gives_the_same(model, video, tmp_path):
    expected = model.decompose(video)
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(tmp_path / f"{t}.png")
    forms = [
        list(video),
        video / 255.0,
        (video / np.float32(255)),
        iter(video),
        jax.numpy.asarray(video),
    ]
    for form in (*forms, tmp_path, str(tmp_path)):
        result = model.decompose(form)
        np.testing.assert_array_equal(result.video, video)
        np.testing.assert_array_equal(result.masks, expected.masks)
    batch = model.decompose(video[None])
    assert batch.masks.shape == (1, 5, 3, 8, 8)
    np.testing.assert_allclose(batch.masks[0], expected.masks, atol=1e-6)


def test_other_sizes_and_channels_are_converted(model, video):
    large = video.repeat(2, 1).repeat(3, 2)
    np.testing.assert_array_equal(model.decompose(large).video, video)
    np.testing.assert_array_equal(model.decompose(large, stride=2).video, video[::2])
    gray = model.decompose(video[..., :1])
    np.testing.assert_array_equal(gray.video, video[..., :1].repeat(3, -1))
    padded = np.pad(video, ((0, 0), (1, 2), (3, 4), (0, 0)))
    np.testing.assert_array_equal(model.decompose(padded, crop=(3, 1, 8, 8)).video, video)
    assert model.decompose(padded, crop=(3, 1, 8, 8)).info.origin == (3, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.astype(int), "pixels must be uint8, 0 … 255, or floats in .*, got int64"),
        (lambda v: v / 1.0, r"must lie in \[0, 1\], got 0 … 255: scale them"),
        (lambda v: np.full(v.shape, np.nan), "got nan … nan"),
        (lambda v: v[0], r"\[T, H, W, C\].*, got \[8, 8, 3\]: add an axis"),
        (lambda v: v[..., 0], r"got \[5, 8, 8\]: add an axis"),
        (lambda v: v[:0], r"got \[0, 8, 8, 3\]"),
        (lambda v: np.concatenate([v, v], -1), r"\[H, W, 1 or 3\], got \[8, 8, 6\].*drop alpha"),
        (lambda v: [v[0], v[1, 1:]], "all frames of a video must have the same shape"),
    ],
)
def test_what_is_no_video_is_refused(model, video, change, message):
    with pytest.raises(ValueError, match=message) as error:
        model.decompose(change(video))
    assert "\n" not in str(error.value)


def test_a_stream_is_checked_frame_by_frame(model, video):
    with pytest.raises(ValueError, match=r"a frame must have the shape .*, got \[8, 8\]"):
        list(model.stream([video[0], video[1, ..., 0]]))


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda m, v: m.decompose("nowhere.mp4"), OSError, "no video at"),
        (lambda m, v: m.decompose("stiid://other"), OSError, "the only one of the package is"),
        (lambda m, v: m.decompose(v, slots=3), TypeError, "no keyword 'slots': expected num_slots"),
        (lambda m, v: m.decompose(v, num_slots=0), ValueError, "num_slots must be at least 1"),
        (lambda m, v: m.decompose(v, crop=(9, 9, 9, 9)), ValueError, "does not fit pictures of"),
        (lambda m, v: m.predict(v, num_frames=0), ValueError, "num_frames must be at least 1"),
        (lambda m, v: m.decode(np.zeros((3, 5))), ValueError, r"shape \[..., K, 4\], got \[3, 5\]"),
        (lambda m, v: m.decode(np.zeros((3, 4)), np.zeros((2, 6))), ValueError, r"h must have"),
        (lambda m, v: m.clips(11), ValueError, r"count must lie in 1 … 10, got 11"),
        (lambda m, v: m.decompose(v).simulated, ValueError, "no frame .* is simulated"),
        (lambda m, v: stiid.load("small_colour"), OSError, r"nor a released model \(.*small_color"),
        (lambda m, v: stiid.load("quickstart", step="best"), ValueError, "goes with the folder"),
        (lambda m, v: stiid.load("quickstart", step="5"), ValueError, "'latest' or 'best', got"),
        (lambda m, v: stiid.read_video("stiid://sample", num_frames=0), ValueError, "at least 1"),
    ],
)
def test_mistakes_are_answered_by_one_line(model, video, action, error, message):
    with pytest.raises(error, match=message) as raised:
        action(model, video)
    assert "\n" not in str(raised.value)


# --- settings, and models -------------------------------------------------------------------------


def test_keywords_change_what_is_stored(model, video):
    assert model.decompose(video).masks.shape[1] == model.num_slots == 3
    assert model.decompose(video, num_slots=5).masks.shape[1] == 5
    stored, other = model.decompose(video), model.decompose(video, seed=1)
    assert np.abs(stored.masks - other.masks).max() > 1e-3


def test_programs_are_compiled_once_a_shape(trained, video, monkeypatch):
    traced = []
    decompose = SpatioTemporal.decompose

    def counted(self, params, video, keys, decoding, *, num_simulated=0):
        traced.append(video.shape)
        return decompose(self, params, video, keys, decoding, num_simulated=num_simulated)

    monkeypatch.setattr(SpatioTemporal, "decompose", counted)
    model = stiid.load(trained)
    traced.clear()  # loading checks the model by tracing it
    for _ in range(3):
        model.decompose(video)
        model.decompose(video, seed=3)
    assert traced == [(1, 5, 8, 8, 3)]
    model.decompose(video[:2])
    model.decompose(video[:2])
    assert traced[1:] == [(1, 2, 8, 8, 3)]


def test_runs_and_checkpoints_are_found(trained, monkeypatch):
    (latest,) = {stiid.load(trained).step, stiid.load(str(trained), step="latest").step}
    assert stiid.load(trained / "checkpoints" / str(latest)).step == latest
    assert stiid.load(trained, step="best").step in {
        int(path.name) for path in (trained / "checkpoints").iterdir() if path.name.isdigit()
    }
    released = stiid.load("quickstart")
    assert released.image_shape == (24, 24, 3)
    assert repr(released) == repr(stiid.load("stiid://quickstart"))


def of_family(name, data_dir):
    """A model of another family with fresh parameters, for frames of 8×8 or 16×16."""
    experiment = tiny.experiment(data_dir, data__options__resolution=16 if name == "ddpae" else 8)
    if name == "iodine":
        inference = dataclasses.replace(
            experiment.model.inference,
            **{"time_axis": "none", "grid": "full", "conditional_prior": False},
            generation=False,
        )
        config = dataclasses.replace(experiment.model, inference=inference)
    elif name == "rnem":
        sizes = {"features": (2, 3), "hidden": 6, "state_size": 5, "attention_features": 4}
        config = RnemConfig(num_slots=3, **sizes)
    else:
        sizes = {"features": 2, "frame_code": 8, "hidden": 6, "content": 5}
        config = DdpaeConfig(num_slots=2, num_observed=2, **sizes)
    evaluate = dataclasses.replace(experiment.evaluate, lengths=(2,), num_slots=config.num_slots)
    experiment = dataclasses.replace(experiment, model=config, evaluate=evaluate)
    view = registry.view(experiment.data.name, **experiment.data.options)
    network = config.build((view.height, view.width, view.channels))
    params = jax.jit(network.init)(jax.random.key(0))
    return stiid.Model(experiment, params, network, step=0, where=data_dir)


@pytest.mark.parametrize(
    ("name", "slots", "cannot"),
    [("iodine", 3, "predict"), ("rnem", 3, "stream decode"), ("ddpae", 3, "stream decode")],
)
def test_other_families_do_what_they_can(name, slots, cannot, data_dir, video):
    model = of_family(name, data_dir)
    side = model.image_shape[0]
    assert model.decompose(video).masks.shape == (5, slots, side, side)
    actions = {
        "predict": lambda: model.predict(video, num_frames=2).masks.shape,
        "stream": lambda: len(list(model.stream(video))),
        "decode": lambda: model.decode(np.zeros((3, 4))).masks.shape,
    }
    expected = {"predict": (7, slots, side, side), "stream": 5, "decode": (3, side, side)}
    for action, run in actions.items():
        if action not in cannot:
            assert run() == expected[action]
            continue
        with pytest.raises(ValueError, match=r"cannot simulate|does not de") as error:
            run()
        assert "\n" not in str(error.value)


# --- results --------------------------------------------------------------------------------------


def test_a_result_shows_itself(model, video, tmp_path):
    future = model.predict(video[None].repeat(2, 0), num_frames=2)
    with Image.open(io.BytesIO(future._repr_png_())) as image:
        np.testing.assert_array_equal(np.asarray(image), future.sheet())
    height = future.sheet().shape[0]
    assert future.sheet(clip=1, true_masks=future.slots).shape[0] > height  # a row more
    assert future.animation().startswith(b"GIF89a")
    assert (future.video[:, 5:] == 128).all()
    assert [one.masks.shape for one in future] == [(7, 3, 8, 8)] * 2
    future.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["video_000", "video_001"]
    slots = np.load(tmp_path / "out" / "video_001" / "masks.npz")["slots"]
    np.testing.assert_array_equal(slots, future.slots[1])
    with pytest.raises(TypeError, match="the result of one video"):
        iter(model.decompose(video))


# --- scores ---------------------------------------------------------------------------------------


def test_scores_by_hand():
    """Two frames of two objects: the slots are right in the first, exchanged in the second."""
    true = np.array([[[0, 1], [2, 0]], [[0, 1], [2, 0]]])
    slots = np.array([[[2, 0], [1, 2]], [[2, 1], [0, 2]]])
    assert stiid.score(true, true)["ari"] == 1.0
    found = stiid.score(slots, true)
    assert found["ari_frame"] == found["f_ari_frame"] == 1.0
    assert found["f_ari"] < 0.5
    assert found["slot_switches"] == 2
    one_hot = np.moveaxis(np.eye(3)[slots], -1, 1)
    assert stiid.score(one_hot, true) == found
    assert stiid.score(slots[None], 100 * true[None]) == found


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        (
            np.zeros((2, 4, 4)),
            np.zeros((2, 4, 4), int),
            r"floats \[T, K, H, W\] or .*, got float64",
        ),
        (np.zeros((2, 4, 4), int), np.zeros((2, 4, 4)), "true_masks must be integers"),
        (np.zeros((2, 4, 4), int), np.zeros((2, 4, 5), int), "must have the same shape"),
        (np.zeros((2, 4, 4), int), np.full((2, 4, 4), -1), "true_masks must not be negative"),
    ],
)
def test_masks_that_do_not_fit_are_refused(predicted, true, message):
    with pytest.raises(ValueError, match=message):
        stiid.score(predicted, true)


# --- imports --------------------------------------------------------------------------------------


def in_a_process(program):
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, cwd=tiny.ROOT, env=tiny.environment(), capture_output=True, text=True, check=True
    )
    return result.stdout.split(), result.stderr


def test_importing_the_package_imports_no_jax():
    program = "import sys, stiid\nprint(*sorted({'jax', 'numpy', 'stiid.api'} & set(sys.modules)))"
    assert in_a_process(program) == ([], "")
    assert set(stiid.__all__) <= set(dir(stiid))
    with pytest.raises(AttributeError, match="no attribute 'lood'"):
        stiid.lood  # noqa: B018


@pytest.mark.slow
def test_loading_a_model_of_balls_imports_no_library_of_other_data():
    program = (
        "import sys, stiid\nprint(stiid.load('quickstart').num_slots)\n"
        "print(*({'mujoco', 'h5py', 'tensorflow_datasets'} & set(sys.modules)))"
    )
    assert in_a_process(program) == (["4"], "")


def test_a_source_is_not_needed_to_decompose(model, video, monkeypatch):
    monkeypatch.setattr(registry, "load", None)
    model.decompose(video)
