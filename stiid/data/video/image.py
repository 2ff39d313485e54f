"""Images in files: in which order, in which formats, and as they are meant to be seen."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from stiid.errors import first_line

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST = 2**25  # pixels of an image or a frame: 8K video has 33.2 of these 33.6 millions
_FORMATS = ("PNG", "JPEG")
# What Pillow raises for damaged files.
_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def pictures(folder: Path) -> list[Path]:
    """The images in a folder, in the order of the numbers in their names; no hidden files.

    Raises:
        ValueError: If two of them have the same numbers: `rgba_1.png` beside `depth_1.png`, or
            `1.png` beside `1.jpg`, are two series.
    """
    found = sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
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
    """Text and numbers of a name in turns, so that 10 comes after 9."""
    parts = re.split(r"(\d+)", path.stem)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


@contextlib.contextmanager
def open_picture(path: Path, formats: tuple[str, ...] = _FORMATS) -> Iterator[Image.Image]:
    """Yields an image whose size is checked before it is decoded.

    Args:
        path: A file; a device or a pipe is refused.
        formats: Names of Pillow's formats that are expected.

    Raises:
        ValueError: If it cannot be read, here or in the block. The message names the file.
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


def read_picture(path: Path) -> np.ndarray:
    """An image as it is meant to be seen: uint8 [H, W, 3].

    It is turned as its EXIF orientation says; 16 bits become 8; what is transparent lies on black.

    Raises:
        ValueError: If it cannot be read. The message names the file.
    """
    with open_picture(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16 bits of gray
            gray = np.rint(np.asarray(image) / 257).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=-1)
        return np.asarray(on_black(image) if image.has_transparency_data else image.convert("RGB"))


def on_black(image: Image.Image) -> Image.Image:
    """An image with transparency over a black background, as RGB."""
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
