"""Which files are used for training, which are left out by name, and which mask values are ids."""

import logging
import os

import numpy as np
import pytest
import tiny
from PIL import Image

from stiid.data import registry
from stiid.data.video.finding import find_videos
from stiid.data.video.mask_folder import MaskFolder


@pytest.fixture(autouse=True)
def _warnings_are_seen(monkeypatch):
    monkeypatch.setattr(logging.getLogger("stiid"), "propagate", True)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def images(folder, count=3):
    folder.mkdir(parents=True)
    for t in range(count):
        Image.new("RGB", (32, 24)).save(folder / f"{t}.png")


def test_videos_at_any_depth_and_of_any_format(tmp_path, caplog):
    for name in ("1.mp4", "2.MOV", "class_a/3.mp4", "class_b/1.mp4", "4.wmv", "5.ts", "6.flv"):
        touch(tmp_path / name)
    for name in ("notes.txt", "cover.jpg", "class_a/poster.png", ".hidden.mp4"):
        touch(tmp_path / name)
    images(tmp_path / "class_b" / "series.001")
    os.mkfifo(tmp_path / "pipe.mp4")
    with caplog.at_level("WARNING"):
        found = find_videos(tmp_path)
    expected = ["1", "2", "4", "5", "6", "class_a/3", "class_b/1", "class_b/series.001"]
    assert list(found) == expected
    assert all(path.exists() for path in found.values())
    assert (
        f"left out of {tmp_path}, since they are no videos: "
        "class_a/poster.png, cover.jpg, notes.txt, pipe.mp4 (no regular file)\n"
    ) in caplog.text


def test_a_long_list_is_cut(tmp_path, caplog):
    touch(tmp_path / "a.mp4")
    for number in range(9):
        touch(tmp_path / f"{number}.txt")
    with caplog.at_level("WARNING"):
        find_videos(tmp_path)
    assert "0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more" in caplog.text


def test_links_are_followed_once_and_broken_ones_named(tmp_path, caplog):
    disk, videos = tmp_path / "disk", tmp_path / "videos"
    touch(disk / "set" / "a.mp4")
    images(disk / "series")
    images(disk / "holes")
    videos.mkdir()
    (videos / "set").symlink_to(disk / "set", target_is_directory=True)
    (videos / "series").symlink_to(disk / "series", target_is_directory=True)
    (videos / "b.mp4").symlink_to(disk / "set" / "a.mp4")
    (videos / "gone.mp4").symlink_to(disk / "gone.mp4")
    (videos / "loop").symlink_to(videos, target_is_directory=True)
    (videos / "holes").symlink_to(disk / "holes", target_is_directory=True)
    (disk / "holes" / "3.png").symlink_to(disk / "gone.png")
    with caplog.at_level("WARNING"):
        assert list(find_videos(videos)) == ["b", "series", "set/a"]
    assert "gone.mp4 (a link to nothing), holes/3.png (a link to nothing)" in caplog.text


def test_names_on_the_terminal_and_in_clips(tmp_path, caplog):
    """A name may be no UTF-8, and hold what a terminal obeys."""
    folder = tmp_path / "videos"
    for name in (b"\xff.mp4", b"\x1b[2Jb.mp4"):
        tiny.write_video(folder / os.fsdecode(name), frames=8)
    touch(folder / os.fsdecode(b"\x1b[2J.txt"))
    with caplog.at_level("WARNING"):
        options = {"path": str(folder), "frames": 4, "height": 12, "width": 16}
        splits = [
            registry.load("own_video", split, data_dir=str(tmp_path / "data"), **options)
            for split in ("train", "validation")
        ]
    assert {source[0]["file"] for source in splits} == {r"\udcff.mp4", r"\x1b[2Jb.mp4"}
    assert r"no videos: \x1b[2J.txt" in caplog.text
    assert "\x1b" not in caplog.text


def test_videos_in_folders_with_masks(tmp_path):
    """Two videos of one name in different folders, masks beside them in the searched folder."""
    for name in ("a", "b"):
        tiny.write_video(tmp_path / name / "1.mp4", frames=8)
        images(tmp_path / "masks" / name / "1", 8)
        for path in (tmp_path / "masks" / name / "1").iterdir():
            Image.new("L", (32, 24), ord(name)).save(path)
    options = {"path": str(tmp_path), "masks": str(tmp_path / "masks"), "frames": 4}
    options |= {"height": 12, "width": 16}
    ids = set()
    for split in ("train", "validation"):
        source = registry.load("own_video", split, data_dir=str(tmp_path / ".data"), **options)
        ids |= {source[i]["id"].split("/", 1)[1] for i in range(len(source))}
        assert source[0]["n_objects"] == 1
    assert ids == {f"{name}/1.mp4/00000{start}" for name in "ab" for start in (0, 4)}


def masks_of(folder, frames, mode="P"):
    folder.mkdir()
    for t, values in enumerate(frames):
        Image.fromarray(np.array([values], np.uint8)).convert("L").save(folder / f"{t}.png")
        if mode == "P":
            image = Image.fromarray(np.array([values], np.uint8))
            image.putpalette(list(range(256)) * 3)
            image.save(folder / f"{t}.png")
    return [ids[0].tolist() for ids in MaskFolder(folder, len(frames)).frames(0, len(frames), 1)]


@pytest.mark.parametrize("mode", ["P", "L"])
def test_255_is_no_object_beside_small_ids(tmp_path, mode, caplog):
    """VOC and DAVIS 2017 draw rims with it. It means the same in all frames of a video."""
    with caplog.at_level("INFO"):
        found = masks_of(tmp_path / "a", [[0, 255, 0, 0], [0, 255, 1, 2]], mode)
    assert found == [[0, 0, 0, 0], [0, 0, 1, 2]]
    assert caplog.text.count("pixels of 255 are read as unlabeled") == 1


@pytest.mark.parametrize("frames", [[[0, 255]], [[0, 127, 255]], [[85, 170, 255]], [[0, 254, 255]]])
def test_255_is_an_object_alone_and_among_spread_grays(tmp_path, frames):
    """DAVIS 2016 has one object, of 255."""
    assert masks_of(tmp_path / "a", frames, "L") == frames
