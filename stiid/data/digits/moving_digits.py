"""Digits that bounce in a box, as in Moving MNIST, made when a clip is requested; with true masks.

The law is that of the generator behind Moving MNIST (Srivastava et al., Unsupervised learning of
video representations using LSTMs, ICML 2015): images of 28×28 pixels in a box of 64×64, whose
corners move in random directions by a tenth of the free room (3.6 pixels) per frame. A digit that
reaches a wall stops there until the next frame, and moves on as if reflected. Digits pass through
each other; where they overlap, a pixel shows the brighter one.
"""

import dataclasses
import hashlib
import json
import zlib
from typing import Any

import numpy as np

from stiid.data.digits.images import SIDE, read_digits
from stiid.data.digits.moving_mnist import MovingMnist, MovingMnistSpec, read_published
from stiid.data.options import check_types
from stiid.data.source import Source
from stiid.data.splits import SPLITS, Counts, clip_rng
from stiid.data.view import View

_BOX = 64
_STEP = 0.1  # of the free room, per frame
_SEEN = 64  # of 255: brightness from which a pixel belongs to a digit
_HELD_OUT = 10  # a split of held-out clips has one digit in ten


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingDigitsSpec(Counts):
    """Which digits, how they are shown, and how many clips there are.

    Attributes:
      path: MNIST's `train-images-idx3-ubyte`, packed (.gz) or not; "" for the digits that come
          with scikit-learn. Splits share no digit: of ten, eight are for training.
      published: `mnist_test_seq.npy`, whose clips are then the split "test", see
          `moving_mnist.MovingMnistSpec`; they have no masks. "": that split is made, too.
      num_digits: each clip has one of these numbers of digits.
      resolution: height and width of the result, a divisor of 64; images are shrunk by the mean
          over the area of a pixel.
      frames: length of a clip.
      train, validation, test: numbers of clips.
      seed: not negative. Same seed and digits, same clips (for one NumPy release).

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = ""
    published: str = ""
    num_digits: tuple[int, ...] = (2,)
    resolution: int = _BOX
    frames: int = 20
    train: int = 50_000
    validation: int = 1000
    test: int = 10_000
    seed: int = 0

    def __post_init__(self):
        check_types(self)
        self.check_counts()
        if not self.num_digits or min(self.num_digits) < 1:
            raise ValueError(f"num_digits must hold numbers from 1 on, got {self.num_digits}")
        if self.resolution < 1 or _BOX % self.resolution:
            raise ValueError(f"resolution must be a divisor of {_BOX}, got {self.resolution}")
        if self.frames < 1 or self.seed < 0:
            raise ValueError(
                f"frames must be at least 1 and seed not negative, got {self.frames}, {self.seed}"
            )

    @property
    def view(self) -> View:
        """How an image becomes a frame of a clip."""
        return View(height=self.resolution, width=self.resolution, channels=1)


class MovingDigits:
    """A split as a `source.Source`. Clip i depends only on (seed, split, i) and the digits.

    Raises:
      FileNotFoundError: if there are no digits.
      ValueError: if their file is damaged, or the split has no clips.
    """

    def __init__(self, spec: MovingDigitsSpec, split: str):
        if not spec.counts.get(split):
            there = tuple(name for name, count in spec.counts.items() if count)
            raise ValueError(
                f"split must be one of {there}, got {split!r}: choose another one or set its "
                "number of clips"
            )
        digits = read_digits(spec.path)
        self._spec, self._split, self._digits = spec, split, _digits_of(digits, split)
        content = {"path": zlib.crc32(digits.tobytes()), "published": ""}
        text = json.dumps({**dataclasses.asdict(spec), **content}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.fingerprint = f"moving_digits/{digest}:{split}"

    def __len__(self) -> int:
        return self._spec.counts[self._split]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The fields of `source.Source`.

        A pixel belongs to the digit that is brightest there, the first of equal ones, and to the
        background if none reaches a quarter of white.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self._split} has the clips 0..{len(self) - 1}, got {index}")
        spec, rng = self._spec, clip_rng(self._spec.seed, self._split, index)
        count = int(rng.choice(spec.num_digits))
        digits = self._digits[rng.integers(len(self._digits), size=count)]
        layers = _layers(digits, bounce(rng, count, spec.frames))
        video = np.rint(_shrunk(layers.max(axis=0), spec.resolution)).astype(np.uint8)
        brightest = _shrunk(layers, spec.resolution).argmax(axis=0)
        return {
            "video": video[..., None],
            "masks": np.where(video >= _SEEN, 1 + brightest, 0).astype(np.uint8),
            "id": f"{self._split}/{index:06d}",
            "n_objects": count,
        }


def bounce(rng: np.random.Generator, count: int, frames: int) -> np.ndarray:
    """Upper left corners of digits that bounce, int [T, count, 2] (row, column)."""
    place = rng.random((count, 2))  # in the free room, of which the box is one digit larger
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    step = _STEP * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    path = np.empty((frames, count, 2))
    for t in range(frames):
        place = place + step
        step = np.where((place <= 0.0) | (place >= 1.0), -step, step)
        path[t] = place = place.clip(0.0, 1.0)
    return ((_BOX - SIDE) * path).astype(int)


def _layers(digits: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Each digit [n, 28, 28] alone in the box, at its corners [T, n, 2]: uint8 [n, T, 64, 64]."""
    layers = np.zeros((len(digits), len(corners), _BOX, _BOX), np.uint8)
    for k, digit in enumerate(digits):
        for t, (row, column) in enumerate(corners[:, k]):
            layers[k, t, row : row + SIDE, column : column + SIDE] = digit
    return layers


def _shrunk(images: np.ndarray, size: int) -> np.ndarray:
    """Means over equal squares: [..., 64, 64] → [..., size, size]."""
    side = _BOX // size
    return images.reshape(*images.shape[:-2], size, side, size, side).mean(axis=(-3, -1))


def _digits_of(digits: np.ndarray, split: str) -> np.ndarray:
    """The digits of a split, by their place in the file."""
    place = np.arange(len(digits)) % _HELD_OUT
    chosen = {"train": place > 1, "validation": place == 0, "test": place == 1}[split]
    if not chosen.any():
        raise ValueError(
            f"{len(digits)} digits leave none for {split}: expected {_HELD_OUT} of them"
        )
    return digits[chosen]


def open_moving_digits(spec: MovingDigitsSpec, split: str, data_dir: str) -> Source:
    """Open a split; nothing is stored."""
    del data_dir
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    if split != "test" or not spec.published:
        return MovingDigits(spec, split)
    count = read_published(spec.published, "published").shape[1]
    whole = MovingMnistSpec(
        path=spec.published,
        resolution=spec.resolution,
        frames=spec.frames,
        validation=0,
        test=count,
    )
    return MovingMnist(whole, split)
