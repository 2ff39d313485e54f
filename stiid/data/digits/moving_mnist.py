"""Moving MNIST's published test set: two digits that bounce in a box, read in place.

`mnist_test_seq.npy` (Srivastava et al., Unsupervised learning of video representations using LSTMs,
ICML 2015) holds uint8 [20, 10000, 64, 64], frames first, without masks. DDPAE and others train on
clips that they make from MNIST's digits, and test on this file: `moving_digits` does that. Here it
is divided into three parts.
"""

import dataclasses
from typing import Any

import numpy as np

from stiid.data.options import check_types
from stiid.data.source import UNKNOWN_OBJECTS, Source
from stiid.data.splits import SPLITS
from stiid.data.view import View
from stiid.errors import first_line, remedy
from stiid.paths import local_path

_RANK = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingMnistSpec:
    """Which file, and how its clips are divided.

    Attributes:
      path: `mnist_test_seq.npy`, or another file of this form.
      resolution: height and width of the result; images are shrunk by the mean over the area of
          a pixel.
      frames: the first frames of each clip.
      validation, test: numbers of clips, from the end of the file; the others are for training.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = "mnist_test_seq.npy"
    resolution: int = 64
    frames: int = 20
    validation: int = 500
    test: int = 1000

    def __post_init__(self):
        check_types(self)
        if self.frames < 1 or min(self.validation, self.test) < 0:
            raise ValueError(
                "frames must be at least 1, validation and test not negative, got "
                f"{self.frames}, {self.validation} and {self.test}"
            )
        assert self.view

    @property
    def view(self) -> View:
        """How an image becomes a frame of a clip."""
        return View(height=self.resolution, width=self.resolution, channels=1)


def read_published(text: str, option: str) -> np.ndarray:
    """Map `mnist_test_seq.npy`, or another file of its form, into memory: uint8 [T, N, H, W].

    Args:
      text: its path.
      option: of the source, which names it; for messages.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged, or of another form.
    """
    path = local_path(text, option)
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}: put mnist_test_seq.npy of Moving MNIST there, or name another one "
            f"by the option {option} (--config.data.options.{option}=FILE)"
        )
    try:
        clips = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read ({first_line(error)}): {remedy(error, 'download it again')}"
        ) from error
    if clips.ndim != _RANK or clips.dtype != np.uint8:
        raise ValueError(
            f"{path}: expected uint8 [T, N, H, W], got {clips.dtype} {list(clips.shape)}"
        )
    return clips


class MovingMnist:
    """A split of the file as a `source.Source`, which reads a clip when it is requested.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged, or of another form, or the split has no clips.
    """

    def __init__(self, spec: MovingMnistSpec, split: str):
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        path = local_path(spec.path, "path")
        self._clips = read_published(spec.path, "path")
        length, count = self._clips.shape[:2]
        if spec.frames > length:
            raise ValueError(f"{path} has {length} frames, got frames={spec.frames}: lower it")
        edges = (0, count - spec.validation - spec.test, count - spec.test, count)
        place = SPLITS.index(split)
        start, stop = edges[place : place + 2]
        if not 0 <= start < stop:
            raise ValueError(
                f"{path} has {count} clips: validation = {spec.validation} and test = {spec.test} "
                f"leave none for {split}"
            )
        self._spec, self._split, self._range = spec, split, range(start, stop)
        state = path.stat()
        self.fingerprint = (
            f"moving_mnist/{path.name}:{state.st_size}:{state.st_mtime_ns}:{spec.resolution}:"
            f"{spec.frames}:{start}-{stop}:{split}"
        )

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._split} has the clips 0..{len(self) - 1}, got {index}")
        number = self._range[index]
        gray = np.asarray(self._clips[: self._spec.frames, number])
        video = np.stack([self._spec.view.frame(np.stack([frame] * 3, -1)) for frame in gray])
        return {
            "video": video,
            "masks": np.zeros(video.shape[:3], np.uint8),
            "id": f"{self._split}/{number:06d}",
            "n_objects": UNKNOWN_OBJECTS,
        }


def open_moving_mnist(spec: MovingMnistSpec, split: str, data_dir: str) -> Source:
    """Open a split in place; nothing is prepared."""
    del data_dir
    return MovingMnist(spec, split)
