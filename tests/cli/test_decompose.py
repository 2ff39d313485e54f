"""Files of ``--mode=decompose``: read back with other libraries, and compared with each other."""

import csv
import dataclasses
import io
import json
import logging
import threading
import types

import numpy as np
import pytest
import tiny
from PIL import Image
from scipy import ndimage

from stiid.cli import modes
from stiid.cli.decompose import Request, decompose_video
from stiid.data.video.frames import Footage, VideoInfo, footage
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.evaluation.evaluator import Evaluator
from stiid.outputs.figure import FigureRequest
from stiid.outputs.palette import PALETTE
from stiid.training.restore import restore

FILES = {
    "info.json",
    "masks",
    "masks.mp4",
    "masks.npz",
    "overlay.mp4",
    "sheet.png",
    "slots.mp4",
    "trajectories.csv",
}


def decompose(trained, workdir, path, *, experiment=None, figure=None, aspect="stretch", **request):
    with tiny.quick_compilation():
        modes.run(
            "decompose",
            experiment,
            workdir=str(workdir),
            checkpoint=str(trained),
            video=Request(None if path is None else str(path), aspect=aspect, **request),
            figure=figure,
        )


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """The folder of a decomposed video of 25 frames and 32×24 pixels, cropped, every second."""
    folder = tmp_path_factory.mktemp("decomposed")
    tiny.write_video(folder / "own.mp4", frames=25)
    decompose(trained, folder, folder / "own.mp4", crop=(4, 2, 24, 16), stride=2)
    return folder / "decompose" / "own"


def test_a_wide_video_keeps_its_shape_and_its_pixels(trained, tmp_path):
    """32×24 pixels between bars, the first five frames, and a figure of two of them."""
    tiny.write_video(tmp_path / "own.mp4", frames=9)
    figure = FigureRequest(tmp_path / "f.svg", frames=(4, 1), rows=("input", "masks"))
    decompose(trained, tmp_path, tmp_path / "own.mp4", figure=figure, aspect=None, frames=5)
    folder = tmp_path / "decompose" / "own"
    assert np.load(folder / "masks.npz")["frames"].tolist() == list(range(5))
    info = json.loads((folder / "info.json").read_text())
    assert (info["view"]["aspect"], info["shown"]) == ("letterbox", [0, 0, 32, 24])
    assert info["explained"] <= 1
    video = VideoFile(folder / "overlay.mp4")
    assert (video.width, video.height, video.num_frames) == (384, 288, 5)
    drawn = figure.path.read_text()
    assert [text in drawn for text in (">t = 4<", ">t = 1<", ">masks<")] == [True] * 3
    assert drawn.count("<image") == 4


def rows(folder):
    with (folder / "trajectories.csv").open() as file:
        return list(csv.DictReader(file))


def test_all_files_are_there(written):
    assert {path.name for path in written.iterdir()} == FILES
    assert [path.name for path in written.parent.iterdir()] == ["own"]  # nothing temporary
    info = json.loads((written / "info.json").read_text())
    assert (info["frames"], info["slots"], info["step"]) == (13, 3, 6)
    size = {"height": 8, "width": 8, "channels": 3}
    view = {**size, "crop": [4, 2, 24, 16], "stride": 2}
    view |= {"aspect": "stretch", "resize": "area"}
    assert info["view"] == view
    for name in ("masks", "overlay", "slots"):
        video = VideoFile(written / f"{name}.mp4")
        assert (video.num_frames, video.fps) == (13, 12.5)
    with Image.open(written / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 0


def test_masks_agree_in_all_forms(written):
    arrays = np.load(written / "masks.npz")
    slots, probabilities = arrays["slots"], arrays["probabilities"]
    assert (slots.dtype, slots.shape) == (np.uint8, (13, 8, 8))
    assert (probabilities.dtype, probabilities.shape) == (np.uint8, (13, 3, 8, 8))
    np.testing.assert_array_equal(arrays["frames"], range(0, 25, 2))
    held = np.take_along_axis(probabilities, slots[:, None].astype(int), 1)[:, 0]
    np.testing.assert_array_equal(held, probabilities.max(1))
    assert np.abs(probabilities.sum(1, dtype=int) - 255).max() <= 1.5
    names = sorted(path.name for path in (written / "masks").iterdir())
    assert names == [f"{t:06d}.png" for t in range(0, 25, 2)]
    for truth, name in zip(slots, names, strict=True):
        with Image.open(written / "masks" / name) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), truth)
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), PALETTE[truth])


def test_trajectories_are_those_of_the_masks_in_pixels_of_the_input(written):
    """A pixel of the masks is 3×2 pixels of the input, of which the crop starts at (4, 2)."""
    slots = np.load(written / "masks.npz")["slots"]
    table = rows(written)
    assert [(int(row["frame"]), int(row["slot"])) for row in table] == [
        (t, k) for t in range(0, 25, 2) for k in range(3)
    ]
    for row in table:
        own = slots[int(row["frame"]) // 2] == int(row["slot"])
        assert float(row["area"]) == own.sum() * 6
        if not own.any():
            assert row["x"] == row["left"] == ""
            continue
        y, x = np.argwhere(own).T
        assert float(row["x"]) == pytest.approx(4 + 3 * (x.mean() + 0.5), rel=1e-5)
        assert float(row["y"]) == pytest.approx(2 + 2 * (y.mean() + 0.5), rel=1e-5)
        regions, count = ndimage.label(own, np.ones((3, 3)))
        boxes = []  # of the largest regions: there may be several of one size
        for region in range(1, count + 1):
            if (regions == region).sum() == np.bincount(regions.ravel())[1:].max():
                y, x = np.argwhere(regions == region).T
                corner = [4 + 3 * x.min(), 2 + 2 * y.min()]
                boxes.append([*corner, 7 + 3 * x.max(), 4 + 2 * y.max()])
        assert [float(row[name]) for name in ("left", "top", "right", "bottom")] in boxes
    for t in range(0, 25, 2):
        areas = [float(row["area"]) for row in table if int(row["frame"]) == t]
        assert sum(areas) == 24 * 16


def test_masks_are_those_of_a_source_of_the_same_frames(written, trained, data_dir, tmp_path):
    """The decomposition of clip 0 of own_video, cut alike: evaluation and streaming agree."""
    experiment = tiny.experiment(
        data_dir,
        data__name="own_video",
        data__options={
            "path": str(written.parents[1] / "own.mp4"),
            "crop": (4, 2, 24, 16),
            "height": 8,
            "width": 8,
            "stride": 2,
            "aspect": "stretch",
            "frames": 8,
            "validation": 0.0,
        },
        evaluate__split="train",
        evaluate__batch_size=8,
        evaluate__clips=1,
        evaluate__lengths=(8,),
        predict__clips=1,
        predict__num_observed=8,
        predict__num_simulated=0,
        train__best_metric="mse",
    )
    with tiny.quick_compilation():
        experiment, state, source, system = restore(experiment, trained, "latest")
        evaluation = Evaluator(experiment.evaluate, system, source)(state.params)
    clips, result = evaluation.preview
    assert clips.masks is None
    assert set(evaluation.scores[8]) == {"mse"}
    ours = np.load(written / "masks.npz")["probabilities"][:8] / 255
    np.testing.assert_allclose(ours, result.masks[0], atol=5e-3)


def test_images_without_a_crop_and_of_training_size(trained, tmp_path):
    """A folder of images; the default is the view of the training data: everything, stride 1."""
    (tmp_path / "in").mkdir()
    for t in range(3):
        Image.new("RGB", (16, 8), (80 * t, 0, 0)).save(tmp_path / "in" / f"{t}.png")
    decompose(trained, tmp_path, tmp_path / "in")
    first = rows(tmp_path / "decompose" / "in")[:3]
    assert sum(float(row["area"]) for row in first) == 16 * 8
    again = (tmp_path / "decompose" / "in" / "masks.npz").read_bytes()
    decompose(trained, tmp_path, tmp_path / "in")
    assert (tmp_path / "decompose" / "in" / "masks.npz").read_bytes() == again


def test_a_model_that_needs_less_at_test_is_restored(trained, data_dir, tmp_path):
    tiny.write_video(tmp_path / "own.mp4", frames=2)
    without = {"inference": {"gradient_skip": 0.0}}
    experiment = tiny.experiment(data_dir, evaluate__model=without)
    decompose(trained, tmp_path, tmp_path / "own.mp4", experiment=experiment)
    assert len(rows(tmp_path / "decompose" / "own")) == 2 * 3


def test_a_failure_keeps_the_last_good_result(trained, tmp_path):
    """An image in the middle is damaged: one error, and the older folder stays whole."""
    (tmp_path / "in").mkdir()
    for t in range(4):
        Image.new("RGB", (16, 8), (60 * t, 0, 0)).save(tmp_path / "in" / f"{t}.png")
    decompose(trained, tmp_path, tmp_path / "in")
    before = tiny.contents(tmp_path / "decompose")
    (tmp_path / "in" / "2.png").write_bytes(b"PNG?")
    with pytest.raises(ValueError, match=r"2\.png cannot be read as an image"):
        decompose(trained, tmp_path, tmp_path / "in")
    assert tiny.contents(tmp_path / "decompose") == before


@pytest.mark.parametrize(
    ("path", "crop", "stride", "message"),
    [
        (None, None, None, "--input is missing"),
        ("nowhere.mp4", None, None, "no video at"),
        ("own.mp4", (20, 0, 16, 8), None, "does not fit images of 32x24: make it smaller, or ()"),
        ("own.mp4", (1, 2), None, "crop must be"),
        ("own.mp4", None, 0, "stride must be at least 1"),
    ],
)
def test_mistakes(trained, tmp_path, path, crop, stride, message):
    tiny.write_video(tmp_path / "own.mp4", frames=4)
    with pytest.raises((ValueError, OSError), match=message):
        decompose(trained, tmp_path, path and tmp_path / path, crop=crop, stride=stride)
    assert not (tmp_path / "decompose").exists()


def test_an_input_goes_with_its_mode(trained):
    for mode, wanted in (
        ("eval", Request("a.mp4")),
        ("import", Request("a.th", stride=2)),
        ("import", Request("a.th", crop=(0, 0, 4, 4))),
    ):
        with pytest.raises(ValueError, match="--input goes with --mode=decompose or import"):
            modes.run(mode, None, workdir=str(trained), checkpoint="latest", video=wanted)
    with pytest.raises(ValueError, match="--mode=import takes no --checkpoint"):
        modes.run("import", None, workdir=str(trained), checkpoint="best", video=Request("a.th"))


def test_frames_before_a_fault_are_kept_and_it_is_named(tmp_path, trained, caplog, monkeypatch):
    """Frame 5 has another size; there is nothing to keep if the first cannot be read."""
    monkeypatch.setattr(logging.getLogger("stiid"), "propagate", True)
    folder = tmp_path / "series"
    folder.mkdir()
    for t in range(8):
        Image.new("RGB", (8, 8) if t != 5 else (9, 8)).save(folder / f"{t}.png")
    with caplog.at_level("WARNING"):
        decompose(trained, tmp_path, folder)
    written = tmp_path / "decompose" / "series"
    info = json.loads((written / "info.json").read_text())
    assert info["frames"] == len(np.load(written / "masks.npz")["slots"]) == 5
    assert "frame 5 has 9x8 pixels" in info["ended_by"]
    assert f"{info['ended_by']}. The 5 frames before it are decomposed" in caplog.text


def test_an_error_ends_the_line_of_the_progress_bar(tmp_path, monkeypatch):
    """So that its message begins a line of its own."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def flush(self):
            written.set()

    def fail(folder, frames, **_):
        next(frames), next(frames)
        assert written.wait(10)
        raise OSError("full")

    written, terminal = threading.Event(), Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("stiid.progress._PATIENCE", 0.0)
    monkeypatch.setattr("stiid.cli.decompose.write_decomposition", fail)
    model = types.SimpleNamespace(card={"checkpoint": "c"}, stream=lambda frames: iter(range(5)))
    info = VideoInfo(View(height=8, width=8, channels=3), path=tmp_path / "a.mp4")
    tiny.write_video(info.path)
    with pytest.raises(OSError, match="full") as caught:
        decompose_video(model, Footage(iter(()), info, 5), tmp_path)
    assert caught.value.__traceback__ is not None  # it holds all that was under way
    assert "Decomposing: " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")  # the line is cleared


def test_the_view_of_the_training_data_is_the_default(tmp_path):
    path = tmp_path / "own.mp4"
    tiny.write_video(path)
    trained = View(height=8, width=8, channels=3, crop=(4, 2, 24, 16), stride=3)
    opened = footage(path, trained)
    assert (opened.info.path, opened.info.view, opened.total) == (path, trained, 4)
    assert (opened.info.origin, opened.info.scale) == ((4, 2), (3, 2))
    for changes in ({"crop": (0, 0, 8, 8)}, {"crop": ()}, {"stride": 2}):
        assert footage(path, trained, **changes).info.view == dataclasses.replace(
            trained, **changes
        )
    with pytest.raises(ValueError, match="does not fit images of 32x24"):
        footage(path, trained, crop=(9, 0, 24, 16))
    with pytest.raises(ValueError, match="does not fit images of 32x24"):
        footage(path, dataclasses.replace(trained, crop=(0, 9, 24, 16)))
