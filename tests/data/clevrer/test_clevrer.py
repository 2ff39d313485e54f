"""CLEVRER from files of the official formats: which frames, and which masks.

Oracle: the scenes as they were written, with discs where spheres are.
"""

import json

import numpy as np
import official
import pytest
import tiny

from stiid.cli import data as command
from stiid.data import registry
from stiid.data.pipeline import eval_batches, train_iterator
from stiid.data.verify import verify_elements
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View

STILL = [(shape, start, (0.0, 0.0)) for shape, start, _ in official.MOVING]
# The third sphere enters the 400 pixels of the crop from the right; see the test.
ENTERING = [*official.MOVING[:2], ("sphere", (0.0, 3.0), (0.0, -0.7))]
SCENES = {
    **dict.fromkeys(range(4), official.MOVING),
    10_000: official.MOVING,
    10_001: official.SIX,
    10_002: STILL,
    10_003: official.MOVING[:2],
    10_004: ENTERING,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clevrer")
    for number, scene in SCENES.items():
        official.write(folder, number, scene, shown=number == 10_000, proposed=number >= 10_000)
    return folder


def load(folder, data_dir, split="test", **options):
    """All clips of a split."""
    given = {"path": str(folder), "validation": 1}
    source = registry.load("clevrer", split, data_dir=str(data_dir), **{**given, **options})
    return [source[i] for i in range(len(source))]


# --- clips ----------------------------------------------------------------------------------------


def test_training_videos_are_cut_back_to_back(folder, data_dir):
    clips = load(folder, data_dir, "train")
    assert [clip["id"] for clip in clips] == [
        f"{n:05d}/{t:03d}" for n in range(3) for t in (0, 40, 80)
    ]
    view = View(height=64, width=64, channels=3, crop=(40, 0, 400, 320))
    path = folder / "video_00000-01000" / "video_00001.mp4"
    for clip in clips[3:6]:
        start = clip["first_frame"]
        frames = VideoFile(path).frames(start, start + 40)
        np.testing.assert_array_equal(clip["video"], [view.frame(frame) for frame in frames])
        # The shade is the frame's number.
        np.testing.assert_allclose(clip["video"].mean((1, 2, 3)), start + np.arange(40), atol=4)
        assert (clip["n_objects"], clip["masks"].any(), clip["file"]) == (-1, False, path.name)


def test_strides(folder, data_dir):
    clips = load(folder, data_dir, "train", stride=3, frames=20, limit=1)
    assert [clip["first_frame"] for clip in clips] == [0, 60]
    shades = clips[1]["video"].mean((1, 2, 3))
    np.testing.assert_allclose(shades, 60 + 3 * np.arange(20), atol=4)


@pytest.mark.parametrize("masks", ["annotations", "proposals"])
def test_masks_lie_on_the_objects(folder, data_dir, masks):
    """In the video the spheres are white."""
    clip = load(folder, data_dir, limit=1, masks=masks)[0]
    assert (clip["video"].shape, clip["masks"].shape) == ((40, 64, 64, 3), (40, 64, 64))
    assert clip["objects"] == "gray metal sphere, red rubber sphere, blue metal sphere"
    white = clip["video"].mean(-1) > 140
    assert clip["n_objects"] == clip["masks"].max() == 3
    assert ((clip["masks"] > 0) != white).mean() < 0.01
    assert 0.02 < white.mean() < 0.06
    view = View(height=64, width=64, channels=3, crop=(40, 0, 400, 320))
    for i in range(3):
        discs = np.array([view.ids(official.disc(official.MOVING, i, t)) for t in range(40)])
        ours = clip["masks"] == i + 1
        assert (ours & discs).sum() > 0.92 * (ours | discs).sum()


def test_test_clips_are_chosen_by_their_objects(folder, data_dir):
    numbers = {n: [c["id"] for c in load(folder, data_dir, objects=n)] for n in ((3, 4, 5), (6,))}
    assert numbers[6,] == ["10001/000"]
    # Two objects, or no motion: no clip.
    assert [name[:5] for name in numbers[3, 4, 5]] == ["10000", "10004"]
    six = load(folder, data_dir, objects=6)[0]
    assert (six["n_objects"], six["masks"].max()) == (6, 6)
    assert six["objects"].count(",") == 5
    with pytest.raises(ValueError, match=r"no clips in 5 videos, .* 5 have no suitable part"):
        load(folder, data_dir, objects=4)
    still = load(folder, data_dir, min_speed=0.5, objects=(3, 6), frames=20)
    assert [clip["file"] for clip in still] == ["video_10004.mp4"]


def test_the_earliest_part_begins_when_the_third_object_is_seen(folder, data_dir):
    """In the crop, not in the image: column 440 of 480, less the radius of the sphere."""
    clip = load(folder, data_dir)[1]
    places = [official.location(ENTERING, 2, t) for t in range(128)]
    column = np.array([240 + 525 * y / (5 - 0.8660254 * x - 0.5 * z) for x, y, z in places])
    inside = np.flatnonzero(column - 525 * 0.2 / 4.9 < 440 - 3.125)[0]  # the last pixel's center
    assert 20 < inside < 80
    assert abs(clip["first_frame"] - inside) <= 1
    assert (clip["masks"][0] == 3).any()
    assert (clip["masks"] == 3).any((1, 2)).all()
    shades = clip["video"].mean((1, 2, 3))
    np.testing.assert_allclose(shades, clip["first_frame"] + np.arange(40), atol=4)


def test_a_whole_video_is_no_longer_than_it_is(folder, data_dir):
    assert len(load(folder, data_dir, frames=128, limit=1)) == 1
    assert len(load(folder, data_dir, "train", frames=64, stride=2, limit=2)) == 2


def test_validation_is_the_last_of_training(folder, data_dir):
    assert [clip["file"] for clip in load(folder, data_dir, "validation")] == ["video_00003.mp4"]
    names = {clip["file"] for clip in load(folder, data_dir, "train", validation=0)}
    assert len(names) == 4
    with pytest.raises(ValueError, match="validation = 4 leaves none of 4 videos"):
        load(folder, data_dir, "train", validation=4)
    some = load(folder, data_dir, "validation", validation=40)  # needs nothing to train on
    assert "video_00003.mp4" in {clip["file"] for clip in some}
    with pytest.raises(ValueError, match="there is no validation split"):
        load(folder, data_dir, "validation", validation=0)
    with pytest.raises(ValueError, match="split must be one of"):
        load(folder, data_dir, "dev")


def test_training_masks_on_request(folder, data_dir):
    clips = load(folder, data_dir, "train", train_masks="annotations", limit=1)
    assert [clip["n_objects"] for clip in clips] == [3, 3, 3]
    assert all(clip["masks"].any((1, 2)).all() for clip in clips)


def test_archives_give_the_same(folder, tmp_path, data_dir):
    official.zip_folder(folder, tmp_path / "video_train.zip", "video_00*.mp4")
    official.zip_folder(folder, tmp_path / "video_validation.zip", "video_1*.mp4")
    official.zip_folder(folder, tmp_path / "annotation_validation.zip", "annotation_1*.json")
    official.zip_folder(folder, tmp_path / "derender_proposals.zip", "proposal_*.json")
    for split in ("train", "test"):
        packed, unpacked = (load(f, data_dir, split, masks="proposals") for f in (tmp_path, folder))
        assert len(packed) == len(unpacked) > 1
        for ours, theirs in zip(packed, unpacked, strict=True):
            assert ours.keys() == theirs.keys()
            for name, value in ours.items():
                np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_the_pipeline_reads_it(folder, data_dir):
    options = {"path": str(folder), "validation": 1}
    train = registry.load("clevrer", "train", data_dir=str(data_dir), **options)
    batch = next(train_iterator(train, batch_size=2, num_frames=4, max_frames=40, seed=0))
    assert batch["video"].shape == (2, 4, 64, 64, 3)
    test = registry.load("clevrer", "test", data_dir=str(data_dir), **options)
    assert verify_elements(test, clips=9)["objects"] == 3
    assert next(eval_batches(test, batch_size=4, num_frames=40))["labelled"].all()
    assert train.fingerprint != test.fingerprint


@pytest.mark.slow
def test_processes_give_the_same(tmp_path, data_dir, monkeypatch):
    """Two processes, from an archive; a broken video among them."""
    for number in range(5):
        official.write(tmp_path / "f", number, official.MOVING)
    (tmp_path / "f" / "video_00000-01000" / "video_00002.mp4").write_text("no video")
    official.zip_folder(tmp_path / "f", tmp_path / "z" / "video_train.zip", "video*.mp4")
    alone = load(tmp_path / "f", data_dir, "train", resolution=16)
    monkeypatch.setattr("stiid.data.clevrer.builder._WORTH_A_PROCESS", 1)
    monkeypatch.setattr("stiid.data.clevrer.builder.available_cores", lambda: 2)
    together = load(tmp_path / "z", data_dir, "train", resolution=16)
    assert [clip["id"] for clip in together] == [clip["id"] for clip in alone]
    assert len(alone) == 9
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours["video"], theirs["video"])


# --- verification ---------------------------------------------------------------------------------


def verify(capsys, folder, data_dir, *options):
    line = ["verify", "clevrer", f"path={folder}", *options, "--split=test"]
    code = command.main([*line, "--data_dir", str(data_dir)])
    out, err = capsys.readouterr()
    figures = dict(line.split() for line in out.splitlines() if len(line.split()) == 2)
    return code, {name: float(value) for name, value in figures.items()}, err


def test_verify_compares_both_kinds_of_masks(folder, tmp_path, data_dir, capsys):
    """Spheres against discs moved by 0, 3 and 9 pixels; one proposal is missing."""
    code, figures, _ = verify(capsys, folder, data_dir, "limit=1")
    assert (code, figures["frames_compared"], figures["objects_compared"]) == (0, 4, 12)
    assert figures["centroid_error"] < 0.5
    assert figures["iou"] > 0.95
    assert figures["not_proposed"] == 0
    official.write(tmp_path, 10_000, official.MOVING)
    path = tmp_path / "proposal_10000.json"
    content = official.proposals(official.MOVING, shift=3)
    content["frames"][0]["objects"].pop()
    path.write_text(json.dumps(content))
    code, figures, _ = verify(capsys, tmp_path, data_dir)
    assert code == 0
    assert figures["not_proposed"] == pytest.approx(1 / 12, abs=1e-5)
    assert figures["centroid_error"] == pytest.approx(3, abs=0.5)
    assert 0.8 < figures["iou"] < 0.9
    path.write_text(json.dumps(official.proposals(official.MOVING, shift=9)))
    code, _, err = verify(capsys, tmp_path, data_dir)
    assert code == 1
    assert "masks from annotations and proposals do not agree" in err
    assert "centroid_error 9" in err or "centroid_error 8.9" in err


def test_verify_without_proposals(tmp_path, data_dir, capsys, told):
    official.write(tmp_path, 10_000, official.MOVING)
    code, figures, _ = verify(capsys, tmp_path, data_dir)
    assert (code, figures["objects"]) == (0, 3)
    assert "iou" not in figures
    assert "masks were not compared: " in told.text
    assert told.text.rstrip().endswith("has no proposals")


def test_the_command_line_prepares_and_previews(folder, tmp_path, capsys):
    line = ["clevrer", f"path={folder}", "validation=1", "--data_dir", str(tmp_path / "d")]
    assert command.main(["prepare", *line]) == 0
    assert "clevrer: 9 clips in train" in capsys.readouterr().out
    line += ["--split=test", "--clips=2", "--output", str(tmp_path / "p")]
    assert command.main(["preview", *line]) == 0
    assert len(tiny.contents(tmp_path / "p")) == 3
