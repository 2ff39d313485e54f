"""Oracles: the clips, the evaluation of the same frames, and other decoders of the files."""

import json
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
import tiny
from PIL import Image

from stiid.data import registry
from stiid.evaluation.image_quality import psnr, ssim
from stiid.evaluation.prediction import prediction_scores
from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition


def predict(trained, workdir, data_dir, **changes):
    experiment = tiny.experiment(data_dir, **changes)
    tiny.execute("predict", experiment, workdir, str(trained))
    return workdir / "predict", json.loads((workdir / "predict" / "metrics.json").read_text())


@pytest.mark.parametrize("simulated", [2, 0])
def test_files_of_every_clip(trained, data_dir, tmp_path, simulated, capsys):
    folder, metrics = predict(trained, tmp_path, data_dir, predict__num_simulated=simulated)
    clips = [f"clip_{i:02d}{suffix}" for i in range(2) for suffix in (".gif", ".mp4", ".png")]
    assert sorted(path.name for path in folder.iterdir()) == [*clips, "metrics.json"]
    frames = 3 + simulated
    for name in ("clip_00", "clip_01"):
        with Image.open(folder / f"{name}.gif") as gif:
            assert gif.n_frames == frames
        with av.open(str(folder / f"{name}.mp4")) as video:
            assert sum(1 for _ in video.decode(video=0)) == frames
        with Image.open(folder / f"{name}.png") as sheet:
            assert np.asarray(sheet).std() > 0
    assert (metrics["clips"], metrics["step"]) == (2, 6)
    assert ("simulated" in metrics) == bool(simulated)
    assert len(metrics.get("simulated_frames", [])) == simulated
    printed = capsys.readouterr().out
    for part in ("observed", "simulated")[: 1 + bool(simulated)]:
        assert f"{part} frames: ari_frame {metrics[part]['ari_frame']:.4f} f_ari_frame " in printed
    assert ("simulated frames" in printed) == bool(simulated)


def test_scores_are_those_of_the_frames(trained, data_dir, tmp_path):
    """Observed: as evaluated. A simulated part is the mean of its frames. Copies: by hand."""
    _, metrics = predict(trained, tmp_path / "ours", data_dir)
    experiment = tiny.experiment(
        data_dir, evaluate__clips=2, evaluate__lengths=(3,), evaluate__num_slots=3
    )
    tiny.execute("eval", experiment, tmp_path / "theirs", str(trained))
    assert metrics["observed"] == pytest.approx(
        tiny.scores(tmp_path / "theirs")["lengths"]["3"], abs=1e-5
    )
    frames = metrics["simulated_frames"]
    for name in ("mse", "ari_frame", "f_ari_frame"):
        mean = sum(frame[name] for frame in frames) / 2
        assert metrics["simulated"][name] == pytest.approx(mean, abs=1e-12)

    data = experiment.data
    source = registry.load(data.name, "validation", data_dir=data.data_dir, **data.options)
    video = np.stack([source[i]["video"] / 255.0 for i in range(2)])
    copies = [((video[:, 2] - video[:, t]) ** 2).mean() for t in (3, 4)]
    assert [frame["copy_mse"] for frame in frames] == pytest.approx(copies)


def by_hand(video, reconstruction, ids, slots):
    """Clips and decompositions into two slots, from rows [B, T, W]: two equal, of 3 channels."""
    fields = (np.repeat(x[:, :, None], 2, axis=2) for x in (video, reconstruction, ids, slots))
    video, reconstruction, ids, slots = fields
    video, reconstruction = (np.repeat(x[..., None], 3, axis=-1) for x in (video, reconstruction))
    masks = 0.4 + 0.2 * (slots[:, :, None] == np.arange(2)[:, None, None])
    means = np.repeat(reconstruction[:, :, None], 2, axis=2)
    return (
        Clips(video.astype(np.uint8), ids.astype(np.uint8), np.arange(len(video))),
        Decomposition(reconstruction, masks, means, np.zeros(means.shape[:3])),
    )


def test_errors_and_entropies():
    """In the first clip pixels of 1, 0 become 1/2, 1/4, in the second they are exact: 1 − 1e-4.

    Then 0.2 becomes 0, and that 1e-4, in both. What is observed is as wrong as can be.
    """
    video = np.array([[[255, 255], [255, 0], [51, 51]]] * 2)
    reconstruction = np.array(
        [[[0, 0], [1 / 2, 1 / 4], [0, 0]], [[0, 0], [1, 0], [0, 0]]], np.float32
    )
    clips, result = by_hand(video, reconstruction, video > 0, video > 0)
    content = prediction_scores(clips, result, num_observed=1)
    first, second = content["simulated_frames"]
    entropy = (np.log(2) + np.log(4 / 3) + 2 * 1.00005e-4) / 4
    assert (first["bce"], first["bce_sum"]) == pytest.approx((entropy, 12 * entropy), rel=1e-7)
    assert (first["mse"], first["mse_sum"]) == pytest.approx((5 / 64, 12 * 5 / 64))
    entropy = 0.2 * 4 * np.log(10) + 0.8 * 1.00005e-4
    assert (second["bce"], second["bce_sum"]) == pytest.approx((entropy, 12 * entropy), rel=1e-7)
    assert (second["mse"], second["mse_sum"]) == pytest.approx((1 / 25, 12 / 25))
    assert (first["psnr"], second["psnr"]) == (np.inf, pytest.approx(10 * np.log10(25)))
    assert "ssim" not in first  # of images smaller than its window


def test_similarity_of_simulated_frames():
    """Clips of 12x12 pixels, which SSIM takes: the means over both clips, frame by frame."""
    rng = np.random.default_rng(0)
    video, noisy = rng.integers(0, 256, (2, 2, 3, 12, 12, 3), np.uint8)
    ids = np.zeros(video.shape[:4], np.uint8)
    masks = np.ones((2, 3, 1, 12, 12))
    result = Decomposition(noisy / 255, masks, noisy[:, :, None] / 255, masks)
    frames = prediction_scores(Clips(video, ids, np.arange(2)), result, num_observed=1)
    for t, frame in enumerate(frames["simulated_frames"], 1):
        assert frame["psnr"] == pytest.approx(psnr(noisy[:, t], video[:, t]).mean())
        assert frame["ssim"] == pytest.approx(ssim(noisy[:, t], video[:, t]).mean())


def test_velocities_are_those_of_masks_or_of_the_model():
    """A ball moves by two of five pixels, its slot by one; the model says backwards."""
    ids = np.array([[[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]])
    slots = np.array([[[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]])
    clips, result = by_hand(255 * ids, ids.astype(float), ids, slots)
    positions = np.array([[[[0.1, 0.5]], [[0.3, 0.5]], [[-0.3, 0.5]]]])
    own = result._replace(positions=positions)
    for given, cosine, relative in ((result, 1, 1 / 2), (own, -1, 0)):
        content = prediction_scores(clips, given, num_observed=2)
        for matching in ("hungarian", "nearest"):
            scores = content["velocity"][matching]
            assert scores["cosine"] == pytest.approx([cosine])
            assert scores["relative"] == pytest.approx([relative])
            assert scores["excluded"] == 0
    assert "velocity" not in prediction_scores(clips, result, num_observed=1)
    assert "velocity" not in prediction_scores(clips._replace(masks=None), result, num_observed=2)


def test_more_clips_than_there_are(trained, data_dir, tmp_path):
    """10 clips, each once, although the batch is filled up to a multiple of the devices."""
    folder, metrics = predict(
        trained, tmp_path, data_dir, predict__clips=50, predict__num_simulated=0
    )
    assert metrics["clips"] == len(list(folder.glob("*.png"))) == 10


def test_fewer_clips_leave_none_of_those_before(trained, data_dir, tmp_path):
    for clips in (2, 1):
        folder, _ = predict(
            trained, tmp_path, data_dir, predict__clips=clips, predict__num_simulated=0
        )
        assert len(list(folder.glob("*.png"))) == clips


def test_frames_must_fit_the_clips(trained, data_dir, tmp_path):
    with pytest.raises(ValueError, match="3 observed and 4 simulated frames do not fit clips of 6"):
        predict(trained, tmp_path, data_dir, predict__num_simulated=4)
    with pytest.raises(ValueError, match=r"num_observed must be at least 1, got 0"):
        predict(trained, tmp_path, data_dir, predict__num_observed=0)
    assert not list(tmp_path.iterdir())


def test_a_trained_model_beside_an_untrained_one(trained, tmp_path):
    """The command as documented, its workdir relative."""
    words = [sys.executable, "-m", "experiments.baselines", "--clips=4", "--workdir=run"]
    shutil.copytree(trained, tmp_path / "run")
    path = {"PYTHONPATH": str(tiny.ROOT)}
    output = tmp_path / "out.json"
    subprocess.run(
        [*words, f"--output={output}"], cwd=tmp_path, env=tiny.environment() | path, check=True
    )
    content = json.loads(output.read_text())
    scores = content["trained"], content["untrained"]
    assert all(0 < side["observed"]["mse"] < 1 for side in scores)
    assert scores[0] != scores[1]
    minutes = [row["minute"] for row in content["curves"]]
    assert minutes == sorted(minutes)
    assert minutes[0] == 0.0
    assert minutes[-1] > 0.0
