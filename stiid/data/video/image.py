"""Pictures in files."""

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from stiid.errors import first_line

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
# What Pillow raises for damaged files, and for those that would take all memory.
PICTURE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, in the order of the numbers in their names; no hidden files."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
        ),
        key=lambda path: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", path.stem)],
    )


def read_picture(path: Path) -> np.ndarray:
    """A picture as it is meant to be seen: uint8 [H, W, 3].

    It is turned as its EXIF orientation says; 16 bits become 8; what is transparent lies on black.

    Raises:
        ValueError: If it cannot be read. The message names the file.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits of gray
                gray = np.rint(np.asarray(image) / 257).astype(np.uint8)
                return np.repeat(gray[..., None], 3, axis=-1)
            if image.has_transparency_data:
                black = Image.new("RGBA", image.size, (0, 0, 0, 255))
                image = Image.alpha_composite(black, image.convert("RGBA"))
            return np.asarray(image.convert("RGB"))
    except PICTURE_ERRORS as error:
        raise ValueError(f"{path} is no picture that can be read ({first_line(error)})") from error
