"""Oracles: the frames that were written: of lossless files exactly, else but for coding."""

import shutil

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tiny
from PIL import Image

from stiid.animation import write_gif
from stiid.data.video_file import VideoFile
from stiid.data.view import View

SUFFIXES = st.sampled_from(["mp4", "avi", "gif"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A video in every kind of file, and its true frames."""
    folder = tmp_path_factory.mktemp("videos")
    video = tiny.write_video(folder / "a.mp4", frames=23)
    tiny.write_video(folder / "a.avi", frames=23)
    write_gif(folder / "a.gif", video, fps=10)
    (folder / "pictures").mkdir()
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(folder / "pictures" / f"frame{t}.png")  # frame10 after frame9
    return folder, video


@pytest.mark.parametrize(
    ("name", "loss", "fps"),
    [("a.mp4", 8, 25), ("a.avi", 8, 25), ("a.gif", 0, 10), ("pictures", 0, 25)],
)
def test_every_kind_of_file(files, name, loss, fps):
    folder, truth = files
    video = VideoFile(folder / name)
    assert (video.num_frames, video.height, video.width, video.fps) == (23, 24, 32, fps)
    frames = np.stack(list(video.frames()))
    assert (frames.dtype, frames.shape) == (np.uint8, truth.shape)
    assert np.abs(frames.astype(int) - truth).mean() <= loss
    # The ground's shade names the frame: coded or not, every frame is nearest to its own truth.
    distance = np.abs(frames[:, None, -4:, :, 0].astype(int) - truth[None, :, -4:, :, 0])
    np.testing.assert_array_equal(distance.mean((2, 3)).argmin(1), range(23))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.gif", "pictures"])
@pytest.mark.parametrize(
    "part", [(0, 23, 1), (7, 8, 1), (22, 23, 1), (3, 20, 4), (11, 23, 3), (5, 5, 1)]
)
def test_a_part_is_cut_from_the_whole(files, name, part):
    """Key frames are every 5 frames: parts start before, at and after one."""
    folder, _ = files
    whole = np.stack(list(VideoFile(folder / name).frames()))
    frames = list(VideoFile(folder / name).frames(*part))
    np.testing.assert_array_equal(np.reshape(frames, (-1, *whole.shape[1:])), whole[slice(*part)])


def test_parts_outside_are_refused(files):
    with pytest.raises(ValueError, match="has 23 frames, asked for 20:24:1"):
        next(VideoFile(files[0] / "a.mp4").frames(20, 24))


def test_nothing_and_nonsense(tmp_path):
    with pytest.raises(FileNotFoundError, match="no video at"):
        VideoFile(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="holds no pictures"):
        VideoFile(tmp_path)
    for suffix in ("mp4", "avi", "gif"):
        path = tmp_path / f"text.{suffix}"
        path.write_text("this is no video")
        with pytest.raises(ValueError, match=r"text\..* is no video that can be read"):
            VideoFile(path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.png is no picture"):
        VideoFile(tmp_path / "empty")


def test_sizes_must_agree(tmp_path):
    for t, size in enumerate([8, 8, 9]):
        Image.new("RGB", (size, 8)).save(tmp_path / f"{t}.png")
    frames = VideoFile(tmp_path).frames()
    assert next(frames).shape == next(frames).shape == (8, 8, 3)
    with pytest.raises(ValueError, match="frame 2 has 9x8 pixels, the first has 8x8"):
        next(frames)


def frames_or_reason(path):
    """All frames, or the message of the one kind of error that a broken file may raise."""
    try:
        return list(VideoFile(path).frames()), ""
    except ValueError as error:
        return [], str(error)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(suffix=SUFFIXES, share=st.floats(0, 0.999))
@hypothesis.example(suffix="mp4", share=0.828125)  # cut before it says how it is coded
def test_a_cut_file_is_refused_or_whole(files, tmp_path_factory, suffix, share):
    """No cut ends in anything but a ValueError, nor in frames that are silently missing."""
    content = (files[0] / f"a.{suffix}").read_bytes()
    path = tmp_path_factory.mktemp("cut") / f"cut.{suffix}"
    path.write_bytes(content[: int(share * len(content))])
    frames, reason = frames_or_reason(path)
    if reason:
        assert "cut." in reason
    else:  # a GIF does not say how many frames it has; of the others only the index was cut off
        assert suffix == "gif" or len(frames) == 23
    shutil.rmtree(path.parent)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(suffix=SUFFIXES, place=st.floats(0, 1), values=st.binary(min_size=1, max_size=40))
def test_damaged_bytes_end_in_one_error(files, tmp_path_factory, suffix, place, values):
    content = bytearray((files[0] / f"a.{suffix}").read_bytes())
    start = int(place * (len(content) - len(values)))
    content[start : start + len(values)] = values
    path = tmp_path_factory.mktemp("damaged") / f"damaged.{suffix}"
    path.write_bytes(content)
    frames, reason = frames_or_reason(path)
    assert frames or "damaged." in reason
    shutil.rmtree(path.parent)


# --- the view -------------------------------------------------------------------------------------


def test_a_view_crops_and_averages():
    """By hand: columns 2..5, rows 1..4, halved."""
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    view = View(height=2, width=2, channels=3, crop=(2, 1, 4, 4))
    blocks = picture[1:5, 2:6].reshape(2, 2, 2, 2, 3).astype(float)
    np.testing.assert_allclose(view.frame(picture), blocks.mean((1, 3)), atol=0.5)
    ids = np.arange(48).reshape(6, 8)
    np.testing.assert_array_equal(view.ids(ids), ids[[2, 4]][:, [3, 5]])
    np.testing.assert_array_equal(view.scale(6, 8), [2, 2])
    np.testing.assert_array_equal(view.origin(), [2, 1])


def test_a_view_without_crop_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    same = View(height=6, width=8, channels=3)
    np.testing.assert_array_equal(same.frame(picture), picture)
    gray = View(height=6, width=8, channels=1).frame(picture)
    luma = picture @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    np.testing.assert_allclose(gray[..., 0], luma, atol=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "at least 1"),
        ({"stride": 0}, "at least 1"),
        ({"channels": 2}, "channels"),
        ({"crop": (0, 0, 4)}, "crop must be"),
        ({"crop": (0, 0, 0, 4)}, "crop must be"),
    ],
)
def test_bad_views(changes, message):
    with pytest.raises(ValueError, match=message):
        View(**{"height": 4, "width": 4, "channels": 3, **changes})


def test_a_crop_must_fit():
    with pytest.raises(ValueError, match="does not fit pictures of 8x6"):
        View(height=2, width=2, channels=3, crop=(5, 0, 4, 4)).frame(np.zeros((6, 8, 3), np.uint8))
