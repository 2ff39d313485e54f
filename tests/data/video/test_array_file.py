"""Videos in .npy and .npz files: read alone, as data with true masks, and refused by name."""

import re

import numpy as np
import pytest

from stiid.data import registry
from stiid.data.video.array_file import ArrayFile
from stiid.data.video.finding import find_videos
from stiid.data.video.frames import read_video


def clips(count=4, frames=6, size=8):
    return np.random.default_rng(0).integers(256, size=(count, frames, size, size, 3), dtype="u1")


def clips_of(source):
    return [source[place] for place in range(len(source))]


def test_a_video_is_read_like_any_other(tmp_path):
    video = clips()[0]
    np.save(tmp_path / "a.npy", video)
    np.testing.assert_array_equal(read_video(tmp_path / "a.npy"), video)
    np.testing.assert_array_equal(read_video(tmp_path / "a.npy", stride=2), video[::2])
    file = ArrayFile(tmp_path / "a.npy")
    assert (file.num_frames, file.height, file.width, file.has_masks) == (6, 8, 8, False)
    np.testing.assert_array_equal(np.stack(list(file.frames(1, 6, 3))), video[1:6:3])
    with pytest.raises(ValueError, match="has 6 frames, asked for 0:7:1"):
        list(file.frames(0, 7))


def test_floats_and_gray_become_bytes(tmp_path):
    np.savez(tmp_path / "a.npz", np.full((2, 4, 4, 1), 0.5))
    np.testing.assert_array_equal(read_video(tmp_path / "a.npz"), np.full((2, 4, 4, 3), 128))


def test_several_videos_of_a_file_are_told_apart(tmp_path):
    videos = clips()
    np.savez(tmp_path / "a.npz", video=videos)
    np.save(tmp_path / "b.npy", videos[0])
    found = find_videos(tmp_path)
    assert list(found) == ["a/0", "a/1", "a/2", "a/3", "b"]
    np.testing.assert_array_equal(read_video(found["a/2"]), videos[2])
    assert list(find_videos(tmp_path / "a.npz")) == ["a/0", "a/1", "a/2", "a/3"]
    with pytest.raises(ValueError, match=r"holds 4 videos: name one, .*/a\.npz/0 for example"):
        read_video(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="no video with that number"):
        read_video(tmp_path / "a.npz" / "4")


def test_clips_with_true_masks(tmp_path):
    """Masks of each video are renamed to 1, 2, … as those in folders are."""
    videos = clips()
    masks = np.zeros(videos.shape[:-1], np.int32)
    masks[:, :, 2:4, 2:6] = 7
    np.savez(tmp_path / "a.npz", video=videos, masks=masks)
    options = {"path": str(tmp_path), "height": 8, "width": 8, "frames": 6, "validation": 0.25}
    sources = [
        registry.load("own_video", split, data_dir=str(tmp_path / "data"), **options)
        for split in ("train", "validation")
    ]
    assert [len(source) for source in sources] == [3, 1]
    seen = {clip["id"].split("/", 1)[1]: clip for source in sources for clip in clips_of(source)}
    assert sorted(seen) == [f"a/{number}/000000" for number in range(4)]
    for number, video in enumerate(videos):
        clip = seen[f"a/{number}/000000"]
        np.testing.assert_array_equal(clip["video"], video)
        np.testing.assert_array_equal(clip["masks"], masks[number] > 0)
        assert clip["n_objects"] == 1


def test_a_changed_file_is_cut_again(tmp_path):
    options = {"height": 8, "width": 8, "frames": 3, "validation": 0.0}

    def fingerprint():
        return registry.load(
            "own_video", "train", data_dir=str(tmp_path / "d"), path=str(tmp_path / "v"), **options
        ).fingerprint

    (tmp_path / "v").mkdir()
    np.save(tmp_path / "v" / "a.npy", clips()[:2])
    before = fingerprint()
    assert fingerprint() == before
    np.save(tmp_path / "v" / "a.npy", clips()[:3])
    assert fingerprint() != before


@pytest.mark.parametrize(
    ("arrays", "answer"),
    [
        ({"video": np.zeros((4, 8, 8))}, "expected a video [T, H, W, C] or several"),
        ({"video": np.zeros((4, 8, 8, 2))}, "got an array [4, 8, 8, 2]"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "has the arrays ['a', 'b']: call that of the video"),
        (
            {"video": np.zeros((4, 8, 8, 3)), "masks": np.zeros((4, 8, 8))},
            "masks must be integers [4, 8, 8], got float64 [4, 8, 8]",
        ),
    ],
)
def test_what_is_no_video_is_refused_by_name(tmp_path, arrays, answer):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(answer)) as caught:
        ArrayFile(tmp_path / "a.npz")
    assert str(caught.value).startswith(f"{tmp_path}/a.npz")


def test_damaged_and_pickled_files_are_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    for name in ("a.npz", "b.npy"):
        with pytest.raises(ValueError, match=r"cannot be read .*write it with numpy"):
            ArrayFile(tmp_path / name)
