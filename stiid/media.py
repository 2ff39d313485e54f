"""Writers of images and animations: PNG, GIF and MP4; files appear only when they are complete."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

from stiid.files import atomic_path

_BT709 = 1  # ITU-T H.273: matrix, primaries and transfer of ITU-R BT.709
_GIF_COLORS = 255  # of 256: the encoder uses one for "unchanged"
_GIF_KEPT = 64
_SLOWEST, _FASTEST = 1e-4, 1e5  # frames per second that MP4 can represent
_GIF_LONGEST = 65_535  # hundredths of a second


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a uint8 image [H, W, 3]."""
    _check_images(image, rank=3)
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)


def write_gif(path: str | os.PathLike[str], frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames [T, H, W, 3] as an endless GIF with one palette for all frames.

    Up to 255 different colors are kept exactly, more are reduced. Frame times are whole hundredths
    of a second, 2 to 65,535. Equal consecutive frames are stored once with the sum of their times.
    """
    _check_images(frames, rank=4)
    _check_rate(fps)
    palette, indices = _indexed(frames)
    images = [Image.fromarray(index) for index in indices]
    for image in images:
        image.putpalette(palette.tobytes())
    with atomic_path(path) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=10 * min(max(2, round(100 / fps)), _GIF_LONGEST),
            loop=0,
        )


def write_mp4(path: str | os.PathLike[str], frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames [T, H, W, 3] as `open_mp4` does."""
    _check_images(frames, rank=4)
    with open_mp4(path, fps=fps) as append:
        for frame in frames:
            append(frame)


@contextmanager
def open_mp4(path: str | os.PathLike[str], *, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Open a file for writing and yield a function that appends a uint8 frame [H, W, 3].

    All frames must have the same size. Frame rates are limited to what MP4 can represent, 1e-4 to
    1e5 per second.

    The video is H.264, yuv420p, which every player and browser shows. yuv420p needs even sizes: an
    odd height or width is extended by repeating the last row or column. Equal frames give equal
    bytes; for that, encoding uses one thread and code that is the same on all CPUs.
    """
    _check_rate(fps)
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_rate(fps))
        stream.pix_fmt = "yuv420p"
        stream.options = {
            "threads": "1",
            "crf": "16",
            "preset": "slow",
            "x264-params": "cpu-independent=1",
        }
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        sizes: set[tuple[int, int]] = set()

        def append(image: np.ndarray) -> None:
            _check_images(image, rank=3)
            height, width = image.shape[:2]
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if not sizes:
                stream.height, stream.width = image.shape[:2]
            sizes.add((height, width))
            if len(sizes) > 1:
                raise ValueError(f"all frames of {path} must have one size, got {sorted(sizes)}")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            container.mux(stream.encode(frame))

        yield append
        container.mux(stream.encode())


def _indexed(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A palette [n, 3] for [T, H, W, 3] and the palette index of each pixel.

    If there are too many colors, channels are rounded to multiples of 5, which is hardly visible
    but removes faint noise and halves the file. Then the most frequent colors (margins, borders,
    backgrounds) are kept, and the others share the rest of the palette. There is no dithering,
    since it would flicker.
    """
    codes = frames.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    present = np.zeros(1 << 24, np.bool_)  # a table is faster than sorting the pixels
    present[codes] = True
    colors = np.flatnonzero(present)
    if len(colors) <= _GIF_COLORS:
        table = np.zeros(1 << 24, np.uint8)
        table[colors] = np.arange(len(colors))
        palette = np.stack([colors >> 16, (colors >> 8) & 255, colors & 255], -1)
        return palette.astype(np.uint8), table[codes]

    levels = 52  # 0, 5, ..., 255
    codes = (frames.astype(np.int32) + 2) // 5 @ np.array([levels**2, levels, 1], np.int32)
    counts = np.bincount(codes.ravel(), minlength=levels**3)
    colors = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    rgb = 5 * np.stack([colors // levels**2, colors // levels % levels, colors % levels], -1)
    rgb = rgb.astype(np.uint8)
    kept, others = rgb[:_GIF_KEPT], rgb[_GIF_KEPT:]
    table = np.zeros(levels**3, np.uint8)
    table[colors[:_GIF_KEPT]] = np.arange(len(kept))
    if len(others):
        reduced = Image.fromarray(others[None]).quantize(
            _GIF_COLORS - _GIF_KEPT, kmeans=1, dither=Image.Dither.NONE
        )
        table[colors[_GIF_KEPT:]] = _GIF_KEPT + np.asarray(reduced)[0]
        shared = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
        kept = np.concatenate([kept, shared])
    return kept, table[codes]


def _check_images(array: np.ndarray, *, rank: int) -> None:
    expected = "[H, W, 3]" if rank == 3 else "[T, H, W, 3]"
    if array.ndim != rank or array.shape[-1] != 3 or 0 in array.shape or array.dtype != np.uint8:
        raise ValueError(f"expected uint8 {expected}, got {array.dtype} {array.shape}")


def _check_rate(fps: float) -> None:
    if not 0 < fps < math.inf:
        raise ValueError(f"fps must be positive and finite, got {fps}")


def _rate(fps: float) -> Fraction:
    """Frames per second as a fraction with small numerator and denominator, also far below 1."""
    exact = Fraction(min(max(fps, _SLOWEST), _FASTEST))
    return exact.limit_denominator(1001) if exact >= 1 else 1 / (1 / exact).limit_denominator(1001)
