"""Id masks of your own videos: a folder of PNG images whose values are the ids."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stiid.data.video.image import image_files, open_image

_ID_MODES = ("1", "L", "P", "I", "I;16")  # one number per pixel: gray value or palette index
_UNLABELLED = 255
_LOG = logging.getLogger("stiid")


class MaskFolder:
    """Frames of ids, one PNG per frame, in the order of the numbers in their names.

    The pixel's value is the id: the palette index (as in DAVIS) or the gray value. 0 is the
    background. If all other ids are below 127, 255 is background too: VOC and DAVIS use it for
    unlabeled pixels, mostly at the edges of objects. Otherwise, 255 is an object.

    Args:
      path: the folder.
      num_frames: number of frames of the video that the masks belong to.

    Raises:
      ValueError: if the folder does not exist or does not hold an image for every frame.
    """

    def __init__(self, path: Path, num_frames: int):
        self._path = path
        if not path.is_dir():
            raise ValueError(f"no masks at {path}: expected a folder with a PNG for every frame")
        self._images = [file for file in image_files(path) if file.suffix.lower() == ".png"]
        if len(self._images) != num_frames:
            raise ValueError(
                f"{path} holds {len(self._images)} PNG masks, its video has {num_frames} frames: "
                "there must be one for every frame"
            )

    def frames(self, start: int, stop: int, step: int) -> Iterator[np.ndarray]:
        """Yield ids [H, W], uint8 or int32.

        Raises:
          ValueError: if an image cannot be read or has colors instead of ids.
        """
        for path in self._images[start:stop:step]:
            ids = _read(path)
            if (ids == _UNLABELLED).any() and self._has_unlabelled:
                ids = np.where(ids == _UNLABELLED, 0, ids)
            yield ids

    @functools.cached_property
    def _has_unlabelled(self) -> bool:
        """Whether 255 means unlabeled pixels, judged by all masks of the folder."""
        present = functools.reduce(np.union1d, (np.unique(_read(path)) for path in self._images))
        others = present[(present != 0) & (present != _UNLABELLED)]
        found = len(others) > 0 and others.max() < _UNLABELLED // 2
        if found:
            _LOG.info("%s: pixels of 255 are read as unlabeled", self._path)
        return found


def _read(path: Path) -> np.ndarray:
    with open_image(path, ("PNG",)) as image:
        if image.mode not in _ID_MODES:
            raise ValueError(
                f"it has mode {image.mode}: expected a palette or gray PNG whose values are ids"
            )
        ids = np.asarray(image)
    return ids.astype(np.uint8 if ids.dtype == np.bool_ else ids.dtype)
