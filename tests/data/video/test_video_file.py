"""Oracle: the frames that were written, exactly for lossless files, else up to coding errors."""

import shutil
import struct
import sys

import av
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tiny
from PIL import Image

from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.media import write_gif, write_mp4

SUFFIXES = st.sampled_from(["mp4", "avi", "gif"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A video in every kind of file, and its true frames."""
    folder = tmp_path_factory.mktemp("videos")
    video = tiny.write_video(folder / "a.mp4", frames=23)
    tiny.write_video(folder / "a.avi", frames=23)
    write_gif(folder / "a.gif", video, fps=10)
    (folder / "images").mkdir()
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(folder / "images" / f"frame{t}.png")  # frame10 after frame9
    return folder, video


@pytest.mark.parametrize(
    ("name", "loss", "fps"),
    [("a.mp4", 8, 25), ("a.avi", 8, 25), ("a.gif", 0, 10), ("images", 0, 25)],
)
def test_every_kind_of_file(files, name, loss, fps):
    folder, truth = files
    video = VideoFile(folder / name)
    assert (video.num_frames, video.height, video.width, video.fps) == (23, 24, 32, fps)
    frames = np.stack(list(video.frames()))
    assert (frames.dtype, frames.shape) == (np.uint8, truth.shape)
    assert np.abs(frames.astype(int) - truth).mean() <= loss
    # The background's shade names the frame: coded or not, every frame is nearest to its own truth.
    distance = np.abs(frames[:, None, -4:, :, 0].astype(int) - truth[None, :, -4:, :, 0])
    np.testing.assert_array_equal(distance.mean((2, 3)).argmin(1), range(23))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_opening_keeps_no_packet(files, name, monkeypatch):
    """A packet of before the last has one holder, the list of this test."""
    given, holders = [], []

    class Container:
        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            self._container.close()

        def demux(self, stream):
            for packet in self._container.demux(stream):
                given.append(packet)
                holders.append(sys.getrefcount(given[-3]) if len(given) > 2 else 0)
                yield packet

    opened = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: Container(opened(*a, **k)))
    assert VideoFile(files[0] / name).num_frames == 23
    lonely = [object()]
    assert len(given) >= 23
    assert holders[2:] == [sys.getrefcount(lonely[0])] * (len(given) - 2)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.gif", "images"])
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
    with pytest.raises(ValueError, match=r"holds no images .*: name a video, which may"):
        VideoFile(tmp_path)
    for suffix in ("mp4", "avi", "gif"):
        path = tmp_path / f"text.{suffix}"
        path.write_text("this is no video")
        with pytest.raises(ValueError, match=r"text\..* cannot be read as a video"):
            VideoFile(path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.png cannot be read as an image"):
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
@hypothesis.example(suffix="avi", share=0.953125)  # a few bytes of the last frame, which is skipped
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


# Containers and codecs whose time stamps do not identify frames, or whose key frames depend on
# earlier frames.
CODED = {
    "mpeg.mpg": ("mpeg2video", {"bf": "2", "g": "12"}),
    "xvid.avi": ("mpeg4", {"bf": "2", "g": "12"}),
    "h264.avi": ("libx264", {"bf": "2", "g": "12"}),
    "open.mp4": ("libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}),
    "closed.mkv": ("libx264", {"g": "12"}),
}


@pytest.mark.parametrize("name", CODED)
def test_every_start_gives_the_frames_from_there_on(tmp_path, name):
    """The gray of a frame says which it is."""
    codec, options = CODED[name]
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options, stream.bit_rate = options, 8_000_000
        for t in range(40):
            image = np.full((48, 64, 3), 6 * t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    video = VideoFile(tmp_path / name)
    assert video.num_frames == 40
    whole = np.stack(list(video.frames()))
    np.testing.assert_allclose(whole.mean((1, 2, 3)) / 6, range(40), atol=0.49)
    for start in range(40):
        np.testing.assert_array_equal(next(video.frames(start)), whole[start], err_msg=f"{start}")
    np.testing.assert_array_equal(list(video.frames(23)), whole[23:])


def test_a_video_with_dropped_frames_is_whole(tmp_path):
    """AVI counts them in its header."""
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuvj420p"
        for t in (0, 1, 2, 5, 6):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), t, np.uint8), format="rgb24")
            frame.pts = t
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert len(list(VideoFile(tmp_path / "a.avi").frames())) == 5


def test_videos_and_images_are_turned_as_they_are_to_be_shown(tmp_path):
    """A white left half, a quarter turn clockwise: the upper half, as in players and browsers."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :16] = 255
    expected = np.rot90(image, -1)
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3: "rotate 90 CW to display"
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "0.jpg", exif=exif, quality=95)
    write_mp4(tmp_path / "a.mp4", image[None].repeat(5, 0), fps=5)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = content.find(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2, version 0
    one = 1 << 16
    # (x, y) → (24 − y, x)
    content[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 24 * one, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content)
    for name in ("images", "a.mp4"):
        video = VideoFile(tmp_path / name)
        assert (video.height, video.width) == (32, 24)
        frame = next(video.frames())
        assert frame.shape == (32, 24, 3)
        assert np.abs(frame.astype(int) - expected).mean() < 12, name


def test_images_of_other_depths(tmp_path):
    """16 bits of gray as 8; what is transparent is black; hidden files are no frames."""
    ramp = np.linspace(0, 65535, 32).astype(np.uint16).reshape(4, 8)
    Image.fromarray(ramp).save(tmp_path / "0.png")
    clear = np.full((4, 8, 4), 255, np.uint8)
    clear[:, 4:, 3] = 0
    Image.fromarray(clear).save(tmp_path / "1.png")
    (tmp_path / "._2.png").write_bytes(b"of another system")
    first, second = VideoFile(tmp_path).frames()
    np.testing.assert_allclose(first[..., 0], ramp / 257, atol=0.5)
    np.testing.assert_array_equal(first[..., 0], first[..., 2])
    np.testing.assert_array_equal(second[..., 1], clear[..., 3])


def test_an_image_that_would_take_all_memory_is_refused(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match=r"0\.png cannot be read as an image"):
        VideoFile(tmp_path)


# --- the view -------------------------------------------------------------------------------------


def test_a_view_crops_and_averages():
    """By hand: columns 2..5, rows 1..4, halved."""
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    view = View(height=2, width=2, channels=3, crop=(2, 1, 4, 4))
    blocks = image[1:5, 2:6].reshape(2, 2, 2, 2, 3).astype(float)
    np.testing.assert_allclose(view.frame(image), blocks.mean((1, 3)), atol=0.5)
    ids = np.arange(48).reshape(6, 8)
    np.testing.assert_array_equal(view.ids(ids), ids[[2, 4]][:, [3, 5]])
    np.testing.assert_array_equal(view.scale(6, 8), [2, 2])
    np.testing.assert_array_equal(view.origin(6, 8), [2, 1])


def test_a_view_without_crop_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    same = View(height=6, width=8, channels=3)
    np.testing.assert_array_equal(same.frame(image), image)
    gray = View(height=6, width=8, channels=1).frame(image)
    luma = image @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
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
    with pytest.raises(ValueError, match="does not fit images of 8x6"):
        View(height=2, width=2, channels=3, crop=(5, 0, 4, 4)).frame(np.zeros((6, 8, 3), np.uint8))
