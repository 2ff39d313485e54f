"""Masks of other programs: each layout read back, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from stiid.data.video.stored_masks import read_masks

MASKS = np.random.default_rng(0).integers(0, 5, (3, 6, 8)).astype(np.uint8)


def write_pngs(folder, masks):
    folder.mkdir(parents=True)
    for number, ids in enumerate(masks):
        image = Image.fromarray(ids).convert("P") if number % 2 else Image.fromarray(ids)
        image.putdata(ids.ravel().tolist())
        image.save(folder / f"frame_{number}.png")


def assert_clips(path, expected):
    found = read_masks(path)
    assert found.keys() == expected.keys()
    for name, masks in expected.items():
        np.testing.assert_array_equal(found[name], masks)


def test_single_clips(tmp_path):
    np.save(tmp_path / "a.npy", MASKS)
    np.savez(tmp_path / "b.npz", anything=MASKS)
    np.savez(tmp_path / "c.npz", video=np.zeros((3, 6, 8, 3)), segmentations=MASKS[..., None])
    for name in ("a.npy", "b.npz", "c.npz"):
        assert_clips(tmp_path / name, {"": MASKS})
    write_pngs(tmp_path / "pngs", MASKS)
    assert_clips(tmp_path / "pngs", {"": MASKS})
    probabilities = np.random.default_rng(1).random((3, 4, 6, 8))
    np.save(tmp_path / "d.npy", probabilities)
    assert_clips(tmp_path / "d.npy", {"": probabilities})


def test_a_decomposition(tmp_path):
    """Its PNG images, probabilities and tables lie beside the array that is meant."""
    write_pngs(tmp_path / "masks", MASKS[:1])
    np.savez(tmp_path / "masks.npz", slots=MASKS, probabilities=np.zeros((3, 5, 6, 8), np.uint8))
    assert_clips(tmp_path, {"": MASKS})


def test_several_clips(tmp_path):
    write_pngs(tmp_path / "set" / "first", MASKS)
    np.savez(tmp_path / "set" / "second.npz", masks=np.stack([MASKS, MASKS[::-1]]))
    np.save(tmp_path / "set" / "third.npy", MASKS[:2])
    (tmp_path / "set" / "notes.txt").write_text("beside")
    (tmp_path / "set" / ".hidden.npy").write_bytes(b"")
    clips = {"first": MASKS, "second/0": MASKS, "second/1": MASKS[::-1], "third": MASKS[:2]}
    assert_clips(tmp_path / "set", clips)
    assert_clips(tmp_path, {f"set/{name}": masks for name, masks in clips.items()})


def test_what_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no masks at"):
        read_masks(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no masks"):
        read_masks(tmp_path / "empty")
    np.savez(tmp_path / "two.npz", one=MASKS, other=MASKS)
    with pytest.raises(ValueError, match="call that of the masks 'masks'"):
        read_masks(tmp_path / "two.npz")
    whole = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.npz cannot be read .*: write it with numpy"):
        read_masks(tmp_path / "cut.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects.npy cannot be read .* without pickled"):
        read_masks(tmp_path / "objects.npy")
    (tmp_path / "twice").mkdir()
    np.save(tmp_path / "twice" / "a.npy", MASKS)
    np.savez(tmp_path / "twice" / "a.npz", MASKS)
    with pytest.raises(ValueError, match="two clips named 'a'"):
        read_masks(tmp_path / "twice")
