"""Moving MNIST from a file of its form, which the test writes."""

import numpy as np
import pytest

from stiid.data import registry
from stiid.data.source import UNKNOWN_OBJECTS
from stiid.data.verify import verify_elements

CLIPS = np.random.default_rng(0).integers(0, 256, (6, 10, 16, 16)).astype(np.uint8)


@pytest.fixture
def load(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", CLIPS)

    def call(split, **options):
        sizes = {"resolution": 16, "frames": 6, "validation": 2, "test": 3}
        options = {"path": str(tmp_path / "mnist_test_seq.npy"), **sizes, **options}
        return registry.load("moving_mnist", split, data_dir=str(tmp_path), **options)

    return call


def test_the_splits_share_the_file(load):
    first = {"train": 0, "validation": 5, "test": 7}
    for split, count in (("train", 5), ("validation", 2), ("test", 3)):
        source = load(split)
        assert len(source) == count
        for index in range(count):
            clip = source[index]
            np.testing.assert_array_equal(clip["video"][..., 0], CLIPS[:, first[split] + index])
            assert clip["n_objects"] == UNKNOWN_OBJECTS
        verify_elements(source, clips=count)
        with pytest.raises(IndexError):
            source[count]
    assert len(load("test", test=10, validation=0)) == 10
    assert load("train").fingerprint != load("train", test=2).fingerprint


def test_smaller_and_shorter_clips(load):
    video = load("train", resolution=8, frames=2)[1]["video"]
    blocks = CLIPS[:2, 1].reshape(2, 8, 2, 8, 2).mean((2, 4))
    assert video.shape == (2, 8, 8, 1)
    assert np.abs(video[..., 0] - blocks).max() <= 1


def test_what_does_not_fit_is_refused(load, tmp_path):
    for split, options, message in (
        ("train", {"validation": 7}, "leave none for train"),
        ("test", {"test": 0}, "leave none for test"),
        ("train", {"frames": 7}, "has 6 frames, got frames=7"),
        ("other", {}, "split must be one of"),
        ("train", {"frames": 0}, "frames must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            load(split, **options)
    with pytest.raises(FileNotFoundError, match=r"put mnist_test_seq.npy"):
        load("train", path=str(tmp_path / "none.npy"))
    np.save(tmp_path / "video.npy", CLIPS / 255)
    with pytest.raises(ValueError, match=r"expected uint8 \[T, N, H, W\], got float64"):
        load("train", path=str(tmp_path / "video.npy"))
    (tmp_path / "page.npy").write_text("moved")
    with pytest.raises(ValueError, match=r"page.npy cannot be read .*: download it again"):
        load("train", path=str(tmp_path / "page.npy"))
