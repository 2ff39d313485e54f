"""Id masks of own videos: a folder of PNG images whose values are the ids."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stiid.data.video.image import open_picture, pictures

_ID_MODES = ("1", "L", "P", "I", "I;16")  # one number per pixel: gray values or palette places
_UNLABELLED = 255
_LOG = logging.getLogger("stiid")


class MaskFolder:
    """Frames of ids, one PNG per frame, in the order of the numbers in their names.

    The pixel's value is the id: the place in the palette (as in DAVIS) or the gray value. 0 is the
    background. So is 255 beside ids that are all below 127: there it is the label of VOC and DAVIS
    for pixels, mostly the rims of objects, that nobody labelled. Alone, or among gray values that
    are spread out, it is an object.

    Args:
        path: The folder.
        num_frames: Of the video that the masks belong to.

    Raises:
        ValueError: If the folder does not exist or does not hold an image for every frame.
    """

    def __init__(self, path: Path, num_frames: int):
        self._path = path
        if not path.is_dir():
            raise ValueError(f"no masks at {path}: expected a folder with a PNG for every frame")
        self._pictures = [file for file in pictures(path) if file.suffix.lower() == ".png"]
        if len(self._pictures) != num_frames:
            raise ValueError(
                f"{path} holds {len(self._pictures)} PNG masks, its video has {num_frames} frames: "
                "there must be one for every frame"
            )

    def frames(self, start: int, stop: int, step: int) -> Iterator[np.ndarray]:
        """Yields ids [H, W], uint8 or int32.

        Raises:
            ValueError: If an image cannot be read or has colors instead of ids.
        """
        for path in self._pictures[start:stop:step]:
            ids = _read(path)
            if (ids == _UNLABELLED).any() and self._has_unlabelled:
                ids = np.where(ids == _UNLABELLED, 0, ids)
            yield ids

    @functools.cached_property
    def _has_unlabelled(self) -> bool:
        """Whether 255 is no object, which all masks of the folder decide together."""
        present = functools.reduce(np.union1d, (np.unique(_read(path)) for path in self._pictures))
        others = present[(present != 0) & (present != _UNLABELLED)]
        found = len(others) > 0 and others.max() < _UNLABELLED // 2
        if found:
            _LOG.info("%s: 255 is read as the label of pixels without one", self._path)
        return found


def _read(path: Path) -> np.ndarray:
    with open_picture(path, ("PNG",)) as image:
        if image.mode not in _ID_MODES:
            raise ValueError(
                f"it has mode {image.mode}: expected a palette or gray PNG whose values are ids"
            )
        ids = np.asarray(image)
    return ids.astype(np.uint8 if ids.dtype == np.bool_ else ids.dtype)
