"""Images and animations on disk: read back, and after a failure."""

from types import SimpleNamespace

import av
import numpy as np
import pytest
from drawings import decomposition
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stiid import media
from stiid.files import atomic_path
from stiid.media import write_gif, write_mp4, write_png
from stiid.outputs.palette import PALETTE
from stiid.outputs.sheets import decomposition_frames


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def read_gif(path):
    with Image.open(path) as gif:
        frames = []
        for t in range(gif.n_frames):
            gif.seek(t)
            frames.append(np.asarray(gif.convert("RGB")))
        return np.stack(frames), gif.info


def read_mp4(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.stack(frames), rate


def moving_square(length=6, height=40, width=64):
    frames = np.full((length, height, width, 3), 255, np.uint8)
    for t in range(length):
        frames[t, 8:24, 4 + 4 * t : 20 + 4 * t] = PALETTE[t % len(PALETTE)]
    return frames


def test_png_round_trip(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "new" / "a.png", image)
    with Image.open(tmp_path / "new" / "a.png") as decoded:
        np.testing.assert_array_equal(np.asarray(decoded), image)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_gif_keeps_few_colors_exactly(tmp_path):
    frames = moving_square()
    write_gif(tmp_path / "a.gif", frames, fps=10)
    decoded, info = read_gif(tmp_path / "a.gif")
    np.testing.assert_array_equal(decoded, frames)
    assert info["duration"] == 100
    assert info["loop"] == 0


def test_gif_of_many_colors(tmp_path):
    x = np.linspace(0, 255, 64)
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[..., 0], frames[..., 1] = x[:, None], x
    frames[..., 2] = 40 * np.arange(4)[:, None, None]
    write_gif(tmp_path / "a.gif", frames, fps=25)
    decoded, info = read_gif(tmp_path / "a.gif")
    assert decoded.shape == frames.shape
    # Equal cells of 32 x 32 levels in each of the 4 planes would give a mean squared error of
    # (85 + 85 + 0) / 3, that is 30.6 dB.
    assert psnr(decoded, frames) > 28
    # The most frequent colors survive: white paper stays white.
    frames[:, :8] = 255
    write_gif(tmp_path / "a.gif", frames, fps=25)
    assert (read_gif(tmp_path / "a.gif")[0][:, :8] == 255).all()
    assert info["duration"] == 40


def test_gif_stays_small(tmp_path):
    # 50 frames, 7 tiles, 24 x 24 pixels: three bands move over a slowly changing background.
    video, reconstruction, masks, means, truth = decomposition(50, 3, channels=1)
    shift = (np.arange(24)[None] - np.arange(50)[:, None]) % 24
    t = np.arange(50)[:, None]
    video, reconstruction, truth = video[t, shift], reconstruction[t, shift], truth[t, shift]
    masks = np.moveaxis(np.moveaxis(masks, 1, -1)[t, shift], -1, 1)
    wave = 0.05 * np.sin(np.arange(24) / 8 + np.arange(50)[:, None] / 5)[:, None, :, None]
    arrays = (video, np.clip(reconstruction + wave, 0, 1), masks, means + wave[:, None], truth)
    write_gif(tmp_path / "a.gif", decomposition_frames(*arrays), fps=10)
    assert read_gif(tmp_path / "a.gif")[0].shape[0] == 50
    assert (tmp_path / "a.gif").stat().st_size < 300_000


@settings(max_examples=8, deadline=None)
@given(height=st.integers(16, 50), width=st.integers(32, 70), length=st.integers(1, 8))
def test_mp4_round_trip(tmp_path_factory, height, width, length):
    path = tmp_path_factory.mktemp("mp4") / "a.mp4"
    frames = moving_square(length, height, width)
    write_mp4(path, frames, fps=12.5)
    decoded, rate = read_mp4(path)
    assert decoded.shape == (length, height + height % 2, width + width % 2, 3)
    assert rate == 12.5
    assert psnr(decoded[:, :height, :width], frames) > 24  # half the color resolution
    # Inside an area of one color the color is right: the BT.709 tag is written and obeyed.
    assert abs(decoded[0, 12:14, 10:14].astype(int) - PALETTE[0]).max() <= 6


def test_mp4_bytes_are_deterministic(tmp_path):
    for name in "ab":
        write_mp4(tmp_path / f"{name}.mp4", moving_square(), fps=10)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "write"), [("a.gif", write_gif), ("a.mp4", write_mp4)])
def test_encoder_failure_leaves_the_old_file(tmp_path, monkeypatch, name, write):
    path = tmp_path / name
    write(path, moving_square(), fps=10)
    old = path.read_bytes()

    def disk_full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(media.os, "replace", disk_full)
    with pytest.raises(OSError, match="disk full"):
        write(path, moving_square(3), fps=10)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_failure_in_the_middle_of_a_film_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    write_mp4(path, moving_square(), fps=10)
    old = path.read_bytes()
    arrays = []

    def third_fails(array, **kwargs):
        arrays.append(array)
        if len(arrays) == 3:
            raise MemoryError
        return av.VideoFrame.from_ndarray(array, **kwargs)

    fake = SimpleNamespace(open=av.open, VideoFrame=SimpleNamespace(from_ndarray=third_fails))
    monkeypatch.setattr(media, "av", fake)
    with pytest.raises(MemoryError):
        write_mp4(path, moving_square(), fps=10)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fps", [10_000, 120.5, 29.97, 0.5, 1 / 3600])
def test_any_frame_rate_is_kept(tmp_path, fps):
    write_mp4(tmp_path / "a.mp4", moving_square(), fps=fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-4)


def test_a_frame_rate_beyond_what_files_can_say_is_the_nearest(tmp_path):
    for fps, nearest in ((1e9, 1e5), (1e-9, 1e-4)):
        write_mp4(tmp_path / "a.mp4", moving_square(), fps=fps)
        with av.open(str(tmp_path / "a.mp4")) as container:
            assert float(container.streams.video[0].average_rate) == pytest.approx(nearest)
    write_gif(tmp_path / "a.gif", moving_square(), fps=1e-9)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["duration"] == 655_350


def test_images_are_checked(tmp_path):
    frames = moving_square()
    for write in (write_gif, write_mp4):
        with pytest.raises(ValueError, match=r"uint8 \[T, H, W, 3\], got float64"):
            write(tmp_path / "a", frames / 255, fps=10)
        with pytest.raises(ValueError, match="got uint8"):
            write(tmp_path / "a", frames[:0], fps=10)
        with pytest.raises(ValueError, match="fps"):
            write(tmp_path / "a", frames, fps=0)
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        write_png(tmp_path / "a", frames)
    assert list(tmp_path.iterdir()) == []
