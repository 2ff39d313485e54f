"""Image files: their order in a folder, and their pixels as they are meant to be seen."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from stiid.errors import first_line

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST = 2**25  # pixels of an image or a frame, 33.6 million; 8K video has 33.2 million
_FORMATS = ("PNG", "JPEG")
# What Pillow raises for damaged files.
_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def image_files(folder: Path) -> list[Path]:
    """List the images in a folder, sorted by the numbers in their names; no hidden files.

    Raises:
      ValueError: if two names have the same numbers, and so belong to two series: `rgba_1.png`
        and `depth_1.png`, or `1.png` and `1.jpg`.
    """
    found = sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        ),
        key=_order,
    )
    first: dict[tuple[int, ...], Path] = {}
    for path in found:
        numbers = tuple(part for part in _order(path) if isinstance(part, int))
        if numbers and first.setdefault(numbers, path) is not path:
            raise ValueError(
                f"{folder} holds {first[numbers].name} and {path.name}, two images for one frame: "
                "keep one series and put others into folders of their own"
            )
    return found


def _order(path: Path) -> list[str | int]:
    """Split a name into text and numbers, so that 10 comes after 9."""
    parts = re.split(r"(\d+)", path.stem)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


@contextlib.contextmanager
def open_image(path: Path, formats: tuple[str, ...] = _FORMATS) -> Iterator[Image.Image]:
    """Yield an image whose size is checked before it is decoded.

    Args:
      path: a file; devices and pipes are refused.
      formats: Pillow's names of the allowed formats.

    Raises:
      ValueError: if it cannot be read, here or in the block. The message names the file.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")
        with Image.open(path, formats=formats) as file:
            if file.width * file.height > LARGEST:
                raise ValueError(f"it has {file.width}x{file.height} pixels, at most {LARGEST}")
            yield file
    except _ERRORS as error:
        raise ValueError(f"{path} cannot be read as an image: {first_line(error)}") from error


def read_image(path: Path) -> np.ndarray:
    """Read an image as it is meant to be seen: uint8 [H, W, 3].

    It is rotated by its EXIF orientation; 16 bits become 8; transparent parts are shown on black.

    Raises:
      ValueError: if it cannot be read. The message names the file.
    """
    with open_image(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16 bits of gray
            gray = np.rint(np.asarray(image) / 257).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=-1)
        return np.asarray(on_black(image) if image.has_transparency_data else image.convert("RGB"))


def on_black(image: Image.Image) -> Image.Image:
    """Put an image with transparency on a black background, as RGB."""
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
