"""Videos in files of NumPy arrays, .npy and .npz."""

import contextlib
import functools
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stiid.errors import first_line, remedy

ARRAY_SUFFIXES = (".npy", ".npz")
_FPS = 25.0
_NAMES = ("video", "videos")  # of the array in an .npz that holds several


class ArrayFile:
    """A video in a file of arrays, with the interface of `video_file.VideoFile`.

    A .npy file holds a video [T, H, W, C], or several of one size, [N, T, H, W, C]: uint8, or
    floats in [0, 1]; C is 1 or 3. A .npz file holds that under the name "video" (or as its only
    array), and may hold true masks under the name "masks": integers [T, H, W] or [N, T, H, W], with
    0 for the background.

    Args:
      path: path of the file. One of several videos in it is named by its number: `clips.npz/3`.

    Attributes:
      path: as given.
      packets: number of frames.
      fps: always 25, since arrays do not say.
      height, width: size in pixels.

    Raises:
      ValueError: if the file holds no video. The message names it.
    """

    def __init__(self, path: Path):
        self.path, self.fps = path, _FPS
        file, number = split_path(path)
        video, masks = _read(file, file.stat().st_mtime_ns)
        self._video, self._masks = self._one_of(video, masks, number)
        self.packets, self.height, self.width = self._video.shape[:3]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.packets

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[np.ndarray]:
        """Yield uint8 [H, W, 3] of the frames start, start + step, ... before `stop`."""
        stop = self._checked(start, stop, step)
        for number in range(start, stop, step):
            frame = to_bytes(self._video[number])
            yield np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))

    @property
    def has_masks(self) -> bool:
        """Whether there are true masks."""
        return self._masks is not None

    def masks(self, start: int, stop: int, step: int) -> Iterator[np.ndarray]:
        """Yield ids [H, W] of the frames start, start + step, ... before `stop`."""
        assert self._masks is not None
        return iter(self._masks[start : self._checked(start, stop, step) : step])

    def _one_of(
        self, video: np.ndarray, masks: np.ndarray | None, number: int | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Select a video by its number, and its masks."""
        if number is None and video.ndim == 5:
            if len(video) > 1:
                raise ValueError(
                    f"{self.path} holds {len(video)} videos: name one, {self.path}/0 for example"
                )
            number = 0
        if number is not None:
            if video.ndim != 5 or number >= len(video):
                raise ValueError(f"{self.path}: there is no video with that number in the file")
            video, masks = video[number], None if masks is None else masks[number]
        return video, masks

    def _checked(self, start: int, stop: int | None, step: int) -> int:
        end = self.packets if stop is None else stop
        if not 0 <= start <= end <= self.packets or step < 1:
            raise ValueError(
                f"{self.path} has {self.packets} frames, asked for {start}:{end}:{step}"
            )
        return end


def split_path(path: Path) -> tuple[Path, int | None]:
    """Split a path into the file and the number of the video in it; None without a number."""
    if path.parent.suffix.lower() in ARRAY_SUFFIXES and path.name.isdigit():
        return path.parent, int(path.name)
    return path, None


def is_array(path: Path) -> bool:
    """Whether a path names a file of arrays, or a video in one."""
    file, _ = split_path(path)
    return file.suffix.lower() in ARRAY_SUFFIXES and file.is_file()


def array_paths(path: Path) -> list[Path]:
    """Paths of the videos in a file of arrays: the file, or one path for each of several."""
    video, _ = _read(path, path.stat().st_mtime_ns)
    if video.ndim == 4:
        return [path]
    digits = len(str(len(video) - 1))
    return [path / f"{number:0{digits}d}" for number in range(len(video))]


@functools.lru_cache(maxsize=2)
def _read(file: Path, changed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Video and masks of a file; cached, since members of an archive are read as a whole."""
    del changed
    with readable(file):
        if file.suffix.lower() == ".npy":
            video, masks = np.load(file, mmap_mode="r"), None
        else:  # opened here: NumPy leaves a damaged file open
            with file.open("rb") as stream, np.load(stream) as arrays:
                others = [name for name in arrays.files if name != "masks"]
                video = arrays[array_name(arrays.files, others, _NAMES, of="video")]
                masks = arrays["masks"] if "masks" in arrays.files else None
    if video.ndim not in (4, 5) or video.shape[-1] not in (1, 3) or 0 in video.shape:
        raise ValueError(
            f"{file}: expected a video [T, H, W, C] or several [N, T, H, W, C] with C = 1 or 3, "
            f"got an array {list(video.shape)}"
        )
    if masks is not None and (
        masks.shape != video.shape[:-1] or not np.issubdtype(masks.dtype, np.integer)
    ):
        raise ValueError(
            f"{file}: masks must be integers {list(video.shape[:-1])}, got {masks.dtype} "
            f"{list(masks.shape)}"
        )
    return video, masks


@contextlib.contextmanager
def readable(file: Path) -> Iterator[None]:
    """Raise what NumPy raises of a damaged file as one line that names it, with advice."""
    try:
        yield
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{file} cannot be read ({first_line(error)}): "
            + remedy(error, "write it with numpy.save or numpy.savez, without pickled objects")
        ) from error


def array_name(files: Sequence[str], names: Sequence[str], known: Sequence[str], *, of: str) -> str:
    """Which array of an .npz to take: the first known one, or the only one.

    Args:
      files: names of all of its arrays.
      names: those to choose from.
      known: names that such arrays have.
      of: what is looked for, as the name to give it.

    Raises:
      ValueError: there is no such array.
    """
    name = next((name for name in known if name in names), None)
    if name is None and len(names) != 1:
        raise ValueError(f"it has the arrays {files}: call that of the {of} '{of}'")
    return name or names[0]


def to_bytes(video: Any) -> np.ndarray:
    """Convert pixels to uint8: floats in [0, 1] are rounded to 0 … 255, bytes stay as they are.

    Raises:
      ValueError: if they are neither.
    """
    array = np.asarray(video)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"pixels must be uint8, 0 … 255, or floats in [0, 1], got {array.dtype}: convert them"
        )
    if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
        raise ValueError(
            f"pixels that are floats must lie in [0, 1], got {array.min():.4g} … "
            f"{array.max():.4g}: scale them, or give uint8"
        )
    return np.rint(255.0 * array).astype(np.uint8)
