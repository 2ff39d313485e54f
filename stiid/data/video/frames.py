"""Convert files, folders of images, arrays and lists of frames to frames for a model."""

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stiid.data.video.array_file import ArrayFile, to_bytes
from stiid.data.video.opening import open_file
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.paths import local_path

SAMPLE = "stiid://sample"
SAMPLE_FILE = Path(__file__).with_name("sample.mp4")
_FPS = 25.0
_LOG = logging.getLogger("stiid")


class VideoInfo(NamedTuple):
    """Origin of the frames for a model."""

    view: View
    fps: float = _FPS  # of the input, before ``view.stride`` is applied
    path: Path | None = None  # None: arrays
    origin: tuple[float, float] = (0.0, 0.0)  # (x, y) of the view's corner in the input
    scale: tuple[float, float] = (1.0, 1.0)  # (x, y) pixels of the input per pixel of the view


class Footage(NamedTuple):
    """A video for a model, frame by frame."""

    frames: Iterator[np.ndarray]  # each uint8 [height, width, channels]
    info: VideoInfo
    total: int | None  # about how many frames; None: not known in advance


def open_video(path: str | os.PathLike[str]) -> VideoFile | ArrayFile:
    """Open a video file, a folder of images, an array, or "stiid://sample", the package's clip.

    Raises:
      OSError, ValueError: if it is missing or damaged.
    """
    if path == SAMPLE:
        return VideoFile(SAMPLE_FILE)
    if str(path).startswith("stiid://"):
        raise FileNotFoundError(f"no video at {path}: the only one in the package is {SAMPLE}")
    return open_file(local_path(os.fspath(path), "video"))


def originals(info: VideoInfo) -> Iterator[np.ndarray] | None:
    """Frames of the input file in full size, uint8 [H, W, 3]; None if there is no file."""
    if info.path is None:
        return None
    return open_file(info.path).frames(step=info.view.stride)


def footage(
    video: str | os.PathLike[str] | Iterable[Any],
    trained: View,
    *,
    crop: tuple[int, ...] | None = None,
    stride: int | None = None,
    aspect: str | None = None,
) -> Footage:
    """Convert a video of any length to frames for a model.

    Args:
      video: an argument of `open_video`, or frames for `fit`.
      trained: view of the model's training data.
      crop: (left, top, width, height) of a window in pixels of the input, () for all. None: as in
        training for a file; frames are not cropped.
      stride: take every n-th frame. None: as in training for a file; 1 for frames.
      aspect: see `View`; None: as in training.

    Raises:
      OSError, ValueError: if the video is missing or damaged, or the crop does not fit it.
    """
    trained = dataclasses.replace(trained, aspect=aspect or trained.aspect)
    if not isinstance(video, str | os.PathLike):
        view = dataclasses.replace(trained, crop=crop or (), stride=stride or 1)
        frames = itertools.islice(iter(video), 0, None, view.stride)
        return Footage((fit(frame, view) for frame in frames), VideoInfo(view), None)
    file = open_video(video)
    view = dataclasses.replace(
        trained,
        crop=trained.crop if crop is None else crop,
        stride=trained.stride if stride is None else stride,
    )
    size = (file.height, file.width)
    if note := view.note(*size):
        _LOG.info("%s: %s", video, note)
    info = VideoInfo(view, file.fps, file.path, tuple(view.origin(*size)), tuple(view.scale(*size)))
    total = -(-file.packets // view.stride)
    return Footage(map(view.frame, file.frames(step=view.stride)), info, total)


def fit(frame: Any, view: View) -> np.ndarray:
    """Convert a frame to the size, channels and type of a view.

    Args:
      frame: uint8 or floats in [0, 1], [H, W, 1 or 3] of any size.
      view: view of the model.

    Returns:
      uint8 [height, width, channels].

    Raises:
      ValueError: if the frame has another shape, type or range.
    """
    array = to_bytes(frame)
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ValueError(
            f"a frame must have the shape [H, W, 1 or 3], got {list(array.shape)}: "
            "add an axis for the channel of gray frames, and drop alpha"
        )
    if array.shape == (view.height, view.width, view.channels) and not view.crop:
        return array
    return view.frame(np.broadcast_to(array, (*array.shape[:2], 3)))


def videos(
    video: str | os.PathLike[str] | Iterable[Any],
    trained: View,
    *,
    crop: tuple[int, ...] | None = None,
    stride: int | None = None,
    aspect: str | None = None,
) -> tuple[np.ndarray, VideoInfo]:
    """Read a video, or a batch of videos, into memory.

    Args:
      video: an argument of `footage`, or arrays [B, T, H, W, C].
      trained: see `footage`.
      crop: see `footage`.
      stride: see `footage`.
      aspect: see `footage`.

    Returns:
      uint8 [T, height, width, channels] or [B, T, …], and its origin.

    Raises:
      OSError, ValueError: as in `footage`, or if the array has another shape.
    """
    if isinstance(video, str | os.PathLike):
        opened = footage(video, trained, crop=crop, stride=stride, aspect=aspect)
        return np.stack(list(opened.frames)), opened.info
    trained = dataclasses.replace(trained, aspect=aspect or trained.aspect)
    view = dataclasses.replace(trained, crop=crop or (), stride=stride or 1)
    try:
        array = np.asarray(video if hasattr(video, "__array__") else list(video))
    except ValueError:  # NumPy's message on lists of several shapes is hard to read
        raise ValueError("all frames of a video must have the same shape") from None
    if array.ndim not in (4, 5) or 0 in array.shape:
        raise ValueError(
            "a video must have the shape [T, H, W, C], or [B, T, H, W, C] for a batch, got "
            f"{list(array.shape)}: add an axis with [None], or one for the channel with [..., None]"
        )
    array = to_bytes(array)[..., :: view.stride, :, :, :]
    size = array.shape[-3:-1]
    fitted = np.stack([fit(frame, view) for frame in array.reshape(-1, *array.shape[-3:])])
    info = VideoInfo(view, origin=tuple(view.origin(*size)), scale=tuple(view.scale(*size)))
    return fitted.reshape(*array.shape[:-3], *fitted.shape[1:]), info


def read_video(
    path: str | os.PathLike[str],
    *,
    crop: tuple[int, ...] = (),
    stride: int = 1,
    num_frames: int | None = None,
) -> np.ndarray:
    """Read a video into memory.

    Args:
      path: path of a video file, of an array or of a folder of images, or "stiid://sample".
      crop: (left, top, width, height) of a window in pixels; () is all of it.
      stride: take every n-th frame.
      num_frames: largest number of frames to read; None: all.

    Returns:
      uint8 [T, H, W, 3].

    Raises:
      OSError, ValueError: if it is missing or damaged, or the crop does not fit it.
    """
    file = open_video(path)
    view = View(height=file.height, width=file.width, channels=3, crop=crop, stride=stride)
    left, top, right, bottom = view.window(file.height, file.width)
    if num_frames is not None and num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    frames = itertools.islice(file.frames(step=stride), num_frames)
    return np.stack([frame[top:bottom, left:right] for frame in frames])
