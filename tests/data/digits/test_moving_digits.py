"""Digits that bounce, against an oracle that moves one coordinate at a time, and their masks."""

import math

import numpy as np
import pytest
from idx_files import idx, write_idx

from stiid.data import registry
from stiid.data.digits.images import read_digits
from stiid.data.digits.moving_digits import bounce
from stiid.data.source import UNKNOWN_OBJECTS
from stiid.data.verify import verify_elements

SMALL = {"frames": 12, "train": 6, "validation": 3, "test": 4}
# One image per split of twenty: every pixel of digit k has the brightness 100 + k.
FLAT = np.broadcast_to(100 + np.arange(20, dtype=np.uint8)[:, None, None], (20, 28, 28))


@pytest.fixture
def load(tmp_path):
    path = write_idx(tmp_path / "digits", np.ascontiguousarray(FLAT))

    def call(split="train", **options):
        options = {"path": str(path), **SMALL, **options}
        return registry.load("moving_digits", split, data_dir=str(tmp_path / "none"), **options)

    return call


def coordinate(place, step, frames):
    """The law for one coordinate, frame by frame, in plain numbers."""
    for _ in range(frames):
        place += step
        if place <= 0.0 or place >= 1.0:
            place, step = min(max(place, 0.0), 1.0), -step
        yield math.floor(36 * place)


def test_digits_move_straight_on_and_are_reflected_by_walls():
    path = bounce(np.random.default_rng(3), 5, 200)
    rng = np.random.default_rng(3)
    places, angles = rng.random((5, 2)), rng.uniform(0.0, 2.0 * np.pi, 5)
    for k in range(5):
        for axis, part in enumerate((math.sin(angles[k]), math.cos(angles[k]))):
            expected = list(coordinate(places[k, axis], 0.1 * part, 200))
            assert path[:, k, axis].tolist() == expected
    assert (path.min(), path.max()) == (0, 36)  # they touch all walls, and stay inside
    steps = np.diff(path, axis=0)
    free = ((path[1:] > 0) & (path[1:] < 36) & (path[:-1] > 0) & (path[:-1] < 36)).all(-1)
    speeds = np.hypot(*np.moveaxis(steps, -1, 0))[free]
    assert free.sum() > 100
    assert abs(speeds - 3.6).max() < math.sqrt(2)  # corners are whole pixels
    assert abs(speeds.mean() - 3.6) < 0.1


def test_masks_say_which_digit_is_seen(load):
    overlaps = 0
    source = load(num_digits=(2, 3), frames=20)
    for clip in (source[i] for i in range(6)):
        video, masks = clip["video"][..., 0], clip["masks"]
        shown = [np.unique(video[masks == k]) for k in range(clip["n_objects"] + 1)]
        assert shown[0].tolist() == [0]
        assert all(len(values) == 1 and values[0] >= 100 for values in shown[1:] if len(values))
        # A digit is a square of 28×28, less where a brighter one, or an earlier equal one, covers.
        colors = [values[0] for values in shown[1:]]
        areas = [(masks == k + 1).sum((1, 2)) for k in range(len(colors))]
        assert all(areas[k].max() <= 28**2 for k in range(len(colors)))
        assert (areas[int(np.argmax(colors))] == 28**2).all()
        overlaps += int((sum(areas) < len(areas) * 28**2).sum())
    assert overlaps > 0
    verify_elements(source, clips=6)


def test_faint_pixels_are_background(tmp_path):
    digit = np.zeros((1, 28, 28), np.uint8)
    digit[0, 4:24, 4:24], digit[0, 10:14, 10:14] = 63, 64
    path = write_idx(tmp_path / "faint.gz", np.repeat(digit, 10, axis=0))
    options = {"path": str(path), "num_digits": 1, **SMALL}
    clip = registry.load("moving_digits", "train", data_dir="", **options)[0]
    np.testing.assert_array_equal(clip["masks"] == 1, clip["video"][..., 0] == 64)
    assert (clip["masks"].sum((1, 2)) == 16).all()


def test_a_smaller_clip_is_the_mean_of_the_larger(load):
    large, small = (load(resolution=size)[1]["video"] for size in (64, 16))
    blocks = large.reshape(12, 16, 4, 16, 4).astype(float).mean((2, 4))
    np.testing.assert_array_equal(small[..., 0], np.rint(blocks))


def test_clips_depend_on_seed_split_and_number_alone(load, tmp_path):
    again, other = load()[4], load(seed=1)[4]
    for name in ("video", "masks"):
        np.testing.assert_array_equal(load(train=5)[4][name], again[name])
        assert (other[name] != again[name]).any()
    assert (load()[3]["video"] != again["video"]).any()
    packed = write_idx(tmp_path / "digits.gz", np.ascontiguousarray(FLAT))
    assert load(path=str(packed)).fingerprint == load().fingerprint  # the same digits
    reversed_ = write_idx(tmp_path / "other", np.ascontiguousarray(FLAT[::-1]))
    assert len({load(path=str(reversed_)).fingerprint, *(load(s).fingerprint for s in SPLITS)}) == 4


SPLITS = ("train", "validation", "test")


def test_splits_share_no_digit(load):
    counts = {"train": 40, "validation": 40, "test": 40}
    seen = {}
    for split in SPLITS:
        source = load(split, **counts, num_digits=1, frames=1)
        seen[split] = {int(source[i]["video"].max()) - 100 for i in range(40)}
    assert seen["validation"] == {0, 10}
    assert seen["test"] == {1, 11}
    assert seen["train"] <= set(range(20)) - {0, 1, 10, 11}
    assert len(seen["train"]) > 8


def test_the_published_clips_are_the_test_split(load, tmp_path):
    clips = np.random.default_rng(0).integers(0, 256, (12, 7, 64, 64)).astype(np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", clips)
    published = {"published": str(tmp_path / "mnist_test_seq.npy")}
    source = load("test", **published)
    assert len(source) == 7
    np.testing.assert_array_equal(source[6]["video"][..., 0], clips[:, 6])
    assert source[6]["n_objects"] == UNKNOWN_OBJECTS
    assert load(**published).fingerprint == load().fingerprint  # training is not concerned
    with pytest.raises(FileNotFoundError, match="by the option published"):
        load("test", published=str(tmp_path / "none.npy"))


def test_digits_of_scikit_learn_look_like_those_of_mnist():
    digits = read_digits("")
    assert (digits.shape, digits.dtype) == ((1797, 28, 28), np.uint8)
    margin = np.ones((28, 28), bool)
    margin[4:24, 4:24] = False
    assert not digits[:, margin].any()
    assert digits.max() == 255
    assert (digits.max((1, 2)) > 200).mean() > 0.99


def test_without_any_digits_the_error_says_where_to_get_them(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz .* scikit-learn"):
        read_digits("")


def test_damaged_files_and_wrong_options_are_refused(load, tmp_path):
    content = idx(np.ascontiguousarray(FLAT))
    for name, changed, message in (
        ("short", content[:-1], "20 images need 15696 bytes, got 15695: download it again"),
        ("empty", b"", "is no file of MNIST's images"),
        ("labels", b"\0\0\x08\x01" + content[4:], "is no file of MNIST's images"),
        ("none", idx(np.zeros((0, 28, 28), np.uint8)), "is no file of MNIST's images"),
        ("wide", idx(np.zeros((4, 32, 32), np.uint8)), r"expected IDX with uint8 \[N, 28, 28\]"),
        ("cut.gz", b"\x1f\x8b\x08\0", "cannot be read .*: download it again"),
        ("few", idx(np.zeros((1, 28, 28), np.uint8)), "1 digits leave none for train"),
    ):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(ValueError, match=message):
            load(path=str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"put MNIST's train-images-idx3-ubyte.gz there"):
        load(path=str(tmp_path / "nothing"))
    for options, message in (
        ({"num_digits": ()}, "num_digits must hold numbers from 1 on"),
        ({"num_digits": (0, 2)}, "num_digits must hold numbers from 1 on"),
        ({"resolution": 48}, "resolution must be a divisor of 64, got 48"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"seed": -1}, "seed not negative"),
        ({"train": 0}, "split must be one of .'validation', 'test'., got 'train'"),
        ({"path": "gs://bucket/digits"}, "only local paths"),
        ({"published": "gs://bucket/clips"}, "only local paths"),
    ):
        with pytest.raises(ValueError, match=message):
            load(**options)
    with pytest.raises(ValueError, match="split must be one of"):
        load("other")
    with pytest.raises(IndexError, match=r"train has the clips 0..5, got 6"):
        load()[6]
