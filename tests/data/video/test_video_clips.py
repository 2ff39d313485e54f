"""Own videos: which frames become which clips. Oracle: the files' own frames."""

import logging

import numpy as np
import pytest
import tiny
from PIL import Image
from video_sources import load

from stiid.data import registry
from stiid.data.video.clip_plan import split_by_time
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View


def own(tmp_path, split="train", **options):
    """All clips of a split."""
    given = {"path": str(tmp_path / "videos"), "height": 12, "width": 16, "frames": 4}
    source = load("own_video", split, tmp_path / "data", **{**given, **options})
    return [source[i] for i in range(len(source))]


def write_masks(folder, count, ids=(0, 7, 30)):
    """Ids in columns, one image per frame; the second id moves down by a row a frame."""
    folder.mkdir(parents=True)
    masks = np.zeros((count, 24, 32), np.uint8)
    masks[:, :, 20:] = ids[1]
    for t in range(count):
        masks[t, t : t + 4, :8] = ids[2]
        image = Image.fromarray(masks[t])
        image.putpalette(list(range(256)) * 3)
        image.save(folder / f"{t}.png")
    return masks


def test_splits_by_time_by_hand():
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    expected = {"train": (0, 8), "validation": (10, 14), "test": (16, 20)}
    assert split_by_time(20, shares, gap=2) == expected
    assert split_by_time(9, {"train": 1.0, "test": 0.0}, gap=5) == {"train": (0, 9)}


@pytest.mark.parametrize(
    ("frames", "shares", "gap", "message"),
    [
        (10, {"train": 0.5, "test": 0.4}, 1, "sum to 1"),
        (10, {"train": 1.5, "test": -0.5}, 1, "sum to 1"),
        (10, {"train": 0.5, "test": 0.5}, 9, "gap = 9"),
        (10, {"train": 0.5, "test": 0.5}, -1, "gap = -1"),
    ],
)
def test_bad_splits(frames, shares, gap, message):
    with pytest.raises(ValueError, match=message):
        split_by_time(frames, shares, gap=gap)


def test_own_videos_are_split_by_file_and_cut_back_to_back(tmp_path):
    for name, frames in (("a.mp4", 9), ("b.avi", 13), ("c.mp4", 8), ("d.mp4", 8)):
        tiny.write_video(tmp_path / "videos" / name, frames=frames)
    train, validation = own(tmp_path), own(tmp_path, "validation")
    files = {split: {clip["file"] for clip in s} for split, s in (("t", train), ("v", validation))}
    assert (len(files["t"]), len(files["v"])) == (3, 1)
    assert files["t"] | files["v"] == {"a.mp4", "b.avi", "c.mp4", "d.mp4"}
    view = View(height=12, width=16, channels=3)
    for clip in (*train, *validation):
        start = clip["first_frame"]
        frames = VideoFile(tmp_path / "videos" / clip["file"]).frames(start, start + 4)
        np.testing.assert_array_equal(clip["video"], [view.frame(frame) for frame in frames])
        assert clip["n_objects"] == -1
        assert not clip["masks"].any()
        assert clip["masks"].shape == (4, 12, 16)
    starts = {(clip["file"], clip["first_frame"]) for clip in (*train, *validation)}
    expected = {"a.mp4": (0, 4), "b.avi": (0, 4, 8), "c.mp4": (0, 4), "d.mp4": (0, 4)}
    assert starts == {(file, start) for file, all_ in expected.items() for start in all_}
    assert len({clip["id"] for clip in (*train, *validation)}) == 9


def test_stride_crop_and_gray(tmp_path):
    path = tmp_path / "videos" / "a.mp4"
    tiny.write_video(path, frames=34)
    options = {"stride": 3, "crop": (4, 2, 16, 12), "channels": 1, "validation": 0.5}
    train, validation = own(tmp_path, **options), own(tmp_path, "validation", **options)
    # 34 frames, a gap of 12: 11 + 11 frames hold one clip of (4 - 1) * 3 + 1 = 10 each
    assert [clip["first_frame"] for clip in (*train, *validation)] == [0, 23]
    view = View(height=12, width=16, channels=1, crop=(4, 2, 16, 12))
    shown = [view.frame(frame) for frame in VideoFile(path).frames(23, 33, 3)]
    np.testing.assert_array_equal(validation[0]["video"], shown)


def test_one_video_is_split_by_time(tmp_path):
    tiny.write_video(tmp_path / "videos" / "a.mp4", frames=40)
    options = {"path": str(tmp_path / "videos" / "a.mp4"), "validation": 0.25}
    train, validation = own(tmp_path, **options), own(tmp_path, "validation", **options)
    # 36 frames are shared out: 0..26 and, 4 later, 31..39.
    assert [clip["first_frame"] for clip in train] == [0, 4, 8, 12, 16, 20]
    assert [clip["first_frame"] for clip in validation] == [31, 35]


def test_true_masks_are_cut_alike_and_renamed(tmp_path):
    for name in ("a", "b"):
        tiny.write_video(tmp_path / "videos" / f"{name}.mp4", frames=8)
        masks = write_masks(tmp_path / "masks" / name, 8)
    source = own(tmp_path, masks=str(tmp_path / "masks"))
    names = np.zeros(256, int)
    names[[7, 30]] = 1, 2
    for i, clip in enumerate(source):
        truth = names[masks[4 * i : 4 * i + 4]][:, 1::2, 1::2]
        np.testing.assert_array_equal(clip["masks"], truth)
        assert clip["n_objects"] == 2


def test_masks_of_another_size_are_refused(tmp_path):
    for name in ("a", "b"):
        tiny.write_video(tmp_path / "videos" / f"{name}.mp4", frames=8, width=64, height=48)
        write_masks(tmp_path / "masks" / name, 8)
    with pytest.raises(ValueError, match="masks have 32x24 pixels, the video 64x48"):
        own(tmp_path, masks=str(tmp_path / "masks"))


def test_an_image_beside_videos_is_no_video(tmp_path):
    for name in ("a", "b"):
        tiny.write_video(tmp_path / "videos" / f"{name}.mp4", frames=8)
    Image.new("RGB", (32, 24)).save(tmp_path / "videos" / "cover.jpg")
    assert {clip["file"] for clip in own(tmp_path)} < {"a.mp4", "b.mp4"}


def write_images(folder, count):
    """A folder of images, one per frame."""
    folder.mkdir(parents=True)
    for t in range(count):
        Image.new("RGB", (32, 24), (9 * t, 0, 0)).save(folder / f"{t}.png")


def test_folders_of_images_with_dots_in_their_names(tmp_path):
    """And an image beside them is no frame."""
    for name in ("scene.001", "scene.002"):
        write_images(tmp_path / "videos" / name, 8)
        write_masks(tmp_path / "masks" / name, 8)
    Image.new("RGB", (32, 24)).save(tmp_path / "videos" / "preview.png")
    clips = [clip for s in ("train", "validation") for clip in own(tmp_path, s)]
    assert {clip["file"] for clip in clips} == {"scene.001", "scene.002"}
    labelled = own(tmp_path, masks=str(tmp_path / "masks"))
    assert [clip["n_objects"] for clip in labelled] == [2, 2]


def test_how_long_a_single_video_must_be(tmp_path):
    """4 frames at stride 2 are 7 of the file, a quarter of 28; 8 more lie between the splits.

    With 34 frames the smaller split has 6, with 9 there is nothing to split.
    """
    path = tmp_path / "a.mp4"
    options = {"path": str(path), "stride": 2, "validation": 0.25}
    for frames in (9, 34):
        tiny.write_video(path, frames=frames)
        with pytest.raises(ValueError, match=rf"has {frames} frames: .* at stride 2 need about 36"):
            own(tmp_path, **options)
    tiny.write_video(path, frames=36)
    assert [len(own(tmp_path, split, **options)) for split in ("train", "validation")] == [2, 1]


def test_short_videos_are_left_out_and_named(tmp_path, caplog):
    videos = [("a", 8), ("b", 3), ("c", 8), ("d", 8), *((f"short{i}", 2) for i in range(4))]
    for name, frames in videos:
        tiny.write_video(tmp_path / "videos" / f"{name}.mp4", frames=frames)
    logging.getLogger("stiid").propagate = True
    with caplog.at_level("WARNING"):
        total = len(own(tmp_path)) + len(own(tmp_path, "validation"))
    assert total == 6
    (said,) = (line for line in caplog.messages if "too short for 4 frames" in line)
    assert said.startswith("train: left out, too short for 4 frames at stride 1: frames 0 to 3 of")
    assert "b.mp4, frames 0 to 2 of" in said
    assert said.endswith(", and 2 more")


def test_a_changed_file_is_prepared_again(tmp_path):
    path = tmp_path / "a.mp4"

    def fingerprint():
        options = {"path": str(path), "frames": 4}
        return load("own_video", "train", tmp_path / "data", **options).fingerprint

    tiny.write_video(path, frames=40)
    before = fingerprint()
    assert fingerprint() == before
    tiny.write_video(path, frames=41)
    assert fingerprint() != before


def broken_own(tmp_path, fault):
    """Options that meet a fault, after making it."""
    folder = tmp_path / "videos"
    for name in ("a", "b"):
        tiny.write_video(folder / f"{name}.mp4", frames=8)
        write_masks(tmp_path / "masks" / name, 8)
    masks = {"masks": str(tmp_path / "masks")}
    match fault:
        case "no folder":
            return {"path": str(tmp_path / "nowhere")}
        case "no videos":
            (tmp_path / "empty").mkdir()
            (tmp_path / "empty" / "a.txt").touch()
            return {"path": str(tmp_path / "empty")}
        case "truncated":
            (folder / "b.mp4").write_bytes((folder / "b.mp4").read_bytes()[:900])
        case "twice":
            tiny.write_video(folder / "b.avi", frames=8)
        case "too short":
            return {"frames": 9}
        case "crop":
            return {"crop": (20, 0, 16, 16)}
        case "masks missing":
            (tmp_path / "masks" / "b").rename(tmp_path / "masks" / "c")
            return masks
        case "mask missing":
            (tmp_path / "masks" / "a" / "3.png").unlink()
            return masks
        case "colored mask":
            for name in ("a", "b"):
                Image.new("RGB", (32, 24)).save(tmp_path / "masks" / name / "3.png")
            return masks
        case "damaged mask":
            for name in ("a", "b"):
                (tmp_path / "masks" / name / "3.png").write_bytes(b"PNG?")
            return masks
    return {}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no folder", "no video at"),
        ("no videos", r"empty holds no videos: expected files .*\.mp4"),
        ("truncated", r"b\.mp4 cannot be read as a video"),
        ("twice", "several videos with the name 'b'"),
        ("too short", "no clip of 9 frames at stride 1 fits the train split"),
        ("crop", r"a\.mp4: crop .* does not fit images of 32x24"),
        ("masks missing", "no masks at .*b: expected a folder"),
        ("mask missing", "holds 7 PNG masks, its video has 8 frames"),
        ("colored mask", "has mode RGB"),
        ("damaged mask", "3.png cannot be read as an image"),
    ],
)
def test_faults_are_named_and_leave_nothing(tmp_path, fault, message):
    options = broken_own(tmp_path, fault)
    with pytest.raises((ValueError, OSError), match=message):
        own(tmp_path, **options)
    assert not list((tmp_path / "data").rglob("*.array_record*"))
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


@pytest.mark.parametrize("fault", ["masks missing", "mask missing"])
def test_missing_masks_are_found_before_anything_is_prepared(tmp_path, fault):
    options = {"path": str(tmp_path / "videos"), **broken_own(tmp_path, fault)}
    with pytest.raises(ValueError, match="masks"):
        assert registry.make_spec("own_video", **options).plan().segments


def test_options_are_checked():
    for options, message in (
        ({"frames": 0}, "frames"),
        ({"seed": -1}, "seed"),
        ({"validation": 1.0}, "something to train on"),
        ({"height": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            registry.make_spec("own_video", **options)
    with pytest.raises(TypeError, match="no options"):
        registry.make_spec("own_video", size=3)
    with pytest.raises(ValueError, match="2 videos are too few"):
        registry.make_spec("own_video", validation=0.3, test=0.3)._split([1, 2])
