"""What the Python API accepts as a video, and its answers to mistakes."""

import jax
import numpy as np
import pytest
from PIL import Image

import stiid


def test_every_form_of_a_video_gives_the_same(model, video, tmp_path):
    expected = model.decompose(video)
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(tmp_path / f"{t}.png")
    forms = [
        list(video),
        video / 255.0,
        (video / np.float32(255)),
        iter(video),
        jax.numpy.asarray(video),
    ]
    for form in (*forms, tmp_path, str(tmp_path)):
        result = model.decompose(form)
        np.testing.assert_array_equal(result.video, video)
        np.testing.assert_array_equal(result.masks, expected.masks)
    batch = model.decompose(video[None])
    assert batch.masks.shape == (1, 5, 3, 8, 8)
    np.testing.assert_allclose(batch.masks[0], expected.masks, atol=1e-6)


def test_other_sizes_and_channels_are_converted(model, video):
    large = video.repeat(2, 1).repeat(3, 2)
    stretched = model.decompose(large, aspect="stretch")
    np.testing.assert_array_equal(stretched.video, video)
    shorter = model.decompose(large, stride=2, aspect="stretch")
    np.testing.assert_array_equal(shorter.video, video[::2])
    assert model.decompose(large).video[:, 0].max() == 0  # between black bars, and not distorted
    assert model.decompose(large, aspect="crop").info.origin == (4, 0)
    gray = model.decompose(video[..., :1])
    np.testing.assert_array_equal(gray.video, video[..., :1].repeat(3, -1))
    padded = np.pad(video, ((0, 0), (1, 2), (3, 4), (0, 0)))
    np.testing.assert_array_equal(model.decompose(padded, crop=(3, 1, 8, 8)).video, video)
    assert model.decompose(padded, crop=(3, 1, 8, 8)).info.origin == (3, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.astype(int), "pixels must be uint8, 0 … 255, or floats in .*, got int64"),
        (lambda v: v / 1.0, r"must lie in \[0, 1\], got 0 … 255: scale them"),
        (lambda v: np.full(v.shape, np.nan), "got nan … nan"),
        (lambda v: v[0], r"\[T, H, W, C\].*, got \[8, 8, 3\]: add an axis"),
        (lambda v: v[..., 0], r"got \[5, 8, 8\]: add an axis"),
        (lambda v: v[:0], r"got \[0, 8, 8, 3\]"),
        (lambda v: np.concatenate([v, v], -1), r"\[H, W, 1 or 3\], got \[8, 8, 6\].*drop alpha"),
        (lambda v: [v[0], v[1, 1:]], "all frames of a video must have the same shape"),
    ],
)
def test_what_is_no_video_is_refused(model, video, change, message):
    with pytest.raises(ValueError, match=message) as error:
        model.decompose(change(video))
    assert "\n" not in str(error.value)


def test_a_stream_is_checked_frame_by_frame(model, video):
    with pytest.raises(ValueError, match=r"a frame must have the shape .*, got \[8, 8\]"):
        list(model.stream([video[0], video[1, ..., 0]]))


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda m, v: m.decompose("nowhere.mp4"), OSError, "no video at"),
        (lambda m, v: m.decompose("stiid://other"), OSError, "the only one in the package is"),
        (lambda m, v: m.decompose(v, slots=3), TypeError, "no keyword 'slots': expected num_slots"),
        (lambda m, v: m.decompose(v, num_slots=0), ValueError, "num_slots must be at least 1"),
        (lambda m, v: m.decompose(v, crop=(9, 9, 9, 9)), ValueError, "does not fit images of"),
        (lambda m, v: m.predict(v, num_frames=0), ValueError, "num_frames must be at least 1"),
        (lambda m, v: m.decode(np.zeros((3, 5))), ValueError, r"shape \[..., K, 4\], got \[3, 5\]"),
        (lambda m, v: m.decode(np.zeros((3, 4)), np.zeros((2, 6))), ValueError, r"h must have"),
        (lambda m, v: m.clips(11), ValueError, r"count must lie in 1 … 10, got 11"),
        (lambda m, v: m.decompose(v).simulated, ValueError, "has no simulated frames"),
        (lambda m, v: stiid.load("small_colour"), OSError, r"nor a released model \(.*small_color"),
        (
            lambda m, v: stiid.load("quickstart", step="best"),
            ValueError,
            "needs the folder of a run",
        ),
        (lambda m, v: stiid.load("quickstart", step="5"), ValueError, "'latest' or 'best', got"),
        (lambda m, v: stiid.read_video("stiid://sample", num_frames=0), ValueError, "at least 1"),
    ],
)
def test_mistakes_are_answered_by_one_line(model, video, action, error, message):
    with pytest.raises(error, match=message) as raised:
        action(model, video)
    assert "\n" not in str(raised.value)
