"""Images of handwritten digits, 28×28: MNIST's own file, or those that scikit-learn ships."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from stiid.errors import first_line, remedy
from stiid.paths import local_path

SIDE = 28
_INK = 20  # MNIST's digits fill 20×20 pixels of the 28×28
_MAGIC = bytes((0, 0, 8, 3))  # IDX: unsigned bytes, three axes
_GZIP = bytes((0x1F, 0x8B))
_HEAD = 16


def read_digits(path: str) -> np.ndarray:
    """Read images of digits: uint8 [N, 28, 28], white on black.

    Args:
      path: MNIST's `train-images-idx3-ubyte`, packed (.gz) or not; "" for the 1,797 digits of 8×8
        pixels that come with scikit-learn, enlarged to the size of MNIST's.

    Raises:
      FileNotFoundError: if there is no such file, or without one no scikit-learn.
      ValueError: if the file is damaged, or of another form.
    """
    return _read_idx(local_path(path, "path")) if path else _digits_of_sklearn()


def _read_idx(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}: put MNIST's train-images-idx3-ubyte.gz there, or name another one by "
            'the option path (path="" takes the digits of scikit-learn)'
        )
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read ({first_line(error)}): {remedy(error, 'download it again')}"
        ) from error
    head = np.frombuffer(content[4:_HEAD].ljust(12, b"\0"), ">u4").tolist()
    count, *sizes = head
    if not content.startswith(_MAGIC) or sizes != [SIDE, SIDE] or not count:
        raise ValueError(
            f"{path} is no file of MNIST's images: expected IDX with uint8 [N, {SIDE}, {SIDE}], "
            "such as train-images-idx3-ubyte.gz"
        )
    if len(content) != _HEAD + count * SIDE**2:
        raise ValueError(
            f"{path}: {count} images need {_HEAD + count * SIDE**2} bytes, got {len(content)}: "
            "download it again"
        )
    return np.frombuffer(content, np.uint8, offset=_HEAD).reshape(count, SIDE, SIDE)


def _digits_of_sklearn() -> np.ndarray:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise FileNotFoundError(
            "there are no digits: name MNIST's train-images-idx3-ubyte.gz by the option path, or "
            "install scikit-learn, which ships some (pip install scikit-learn)"
        ) from error
    small = load_digits().images / 16.0  # 0 … 16
    margin = (SIDE - _INK) // 2
    return np.stack([np.pad(_enlarged(digit), margin) for digit in small])


def _enlarged(digit: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.rint(255 * digit).astype(np.uint8))
    return np.asarray(image.resize((_INK, _INK), Image.Resampling.BICUBIC))
