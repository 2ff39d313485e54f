"""The Python API, compared with files and numbers of the command line; and its models."""

import dataclasses
import io
import json

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
from stiid.models.savi.config import SaviConfig
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.training.restore import restore


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
        expected = {name: x for name, x in theirs[part].items() if name != "mse"}
        assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_scores_of_the_data_are_those_of_an_evaluation(model, trained):
    experiment, state, source, network = restore(None, trained, "latest")
    expected = Evaluator(experiment.evaluate, network, source)(state.params).scores
    clips = model.clips(len(source))
    assert clips.video.shape == (10, 4, 8, 8, 3)
    result = model.decompose(clips.video)
    for length, scores in expected.items():
        ours = stiid.score(result.masks[:, :length], clips.masks[:, :length])
        same = ours.keys() & scores.keys()
        assert {"ari", "f_ari", "ari_authors", "miou", "recall"} <= same
        assert {name: ours[name] for name in same} == pytest.approx(
            {name: scores[name] for name in same}, abs=1e-6
        )


def test_latents_decode_to_what_was_inferred(model, video):
    result = model.decompose(video)
    decoded = model.decode(result.latents.z, result.latents.h)
    np.testing.assert_allclose(decoded.masks, result.masks, atol=1e-5)
    np.testing.assert_allclose(decoded.reconstruction, result.reconstruction, atol=1e-5)
    first = model.decode(result.latents.z[0])  # before the first frame there is no hidden state
    np.testing.assert_allclose(first.means, result.means[0], atol=1e-5)


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
    elif name == "savi":
        sizes = {"encoder_features": (3,), "encoder_strides": (1,), "decoder_features": (3,)}
        config = SaviConfig(num_slots=3, slot_size=4, doublings=1, predictor_mlp=5, **sizes)
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
    [
        ("iodine", 3, "predict"),
        ("rnem", 3, "stream decode"),
        ("ddpae", 3, "stream decode"),
        ("savi", 3, ""),
    ],
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
        if action not in cannot.split():
            assert run() == expected[action]
            continue
        with pytest.raises(ValueError, match=r"cannot simulate|does not de") as error:
            run()
        assert "\n" not in str(error.value)


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
