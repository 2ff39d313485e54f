"""Id masks of own videos: a folder of PNG pictures whose values are the ids."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stiid.data.video.image import PICTURE_ERRORS, pictures

_ID_MODES = ("1", "L", "P", "I", "I;16")  # one number per pixel: gray values or palette places


class MaskFolder:
    """Frames of ids, one PNG per frame, in the order of the numbers in their names.

    The pixel's value is the id: the place in the palette (as in DAVIS) or the gray value. 0 is the
    background.

    Args:
        path: The folder.
        num_frames: Of the video that the masks belong to.

    Raises:
        ValueError: If the folder does not exist or does not hold a picture for every frame.
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
            ValueError: If a picture cannot be read or has colors instead of ids.
        """
        for path in self._pictures[start:stop:step]:
            try:
                with Image.open(path) as image:
                    if image.mode not in _ID_MODES:
                        raise ValueError(
                            f"it has mode {image.mode}: expected a palette or gray PNG whose "
                            "values are ids"
                        )
                    ids = np.asarray(image)
            except PICTURE_ERRORS as error:
                raise ValueError(f"{path} is no mask that can be read: {error}") from error
            yield ids.astype(np.uint8 if ids.dtype == np.bool_ else ids.dtype)
