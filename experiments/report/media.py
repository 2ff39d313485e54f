"""Embed images and videos in the page, up to a limit."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.report.markup import Html, tag

_LIMIT = 3_600_000  # bytes of media; the page is to stay below 5 MB, and base64 adds a third
_TYPES = {".png": "image/png", ".mp4": "video/mp4"}


class Media:
    """Embedded media of a page, and their size so far.

    Args:
      limit: largest number of bytes, before encoding.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._room = limit

    def array(self, image: np.ndarray) -> str | None:
        """The address of an image, uint8 [H, W, 3], or None if there is no room."""
        return _only(self.arrays([image]))

    def arrays(self, images: Sequence[np.ndarray]) -> list[str] | None:
        """The addresses of images, or None if there is no room for all of them."""
        return self._addresses([_png(image) for image in images], "image/png")

    def image(self, path: Path, alt: str) -> Html:
        """An image file."""
        address = self._file(path)
        return tag("img", src=address, alt=alt) if address else _left_out(path)

    def movie(self, path: Path, label: str) -> Html:
        """A video file with its controls."""
        address = self._file(path)
        if address is None:
            return _left_out(path)
        return tag("video", src=address, aria_label=label, controls=True, loop=True, muted=True)

    def _file(self, path: Path) -> str | None:
        return _only(self._addresses([path.read_bytes()], _TYPES[path.suffix]))

    def _addresses(self, contents: Sequence[bytes], kind: str) -> list[str] | None:
        size = sum(map(len, contents))
        if size > self._room:
            return None
        self._room -= size
        texts = (base64.b64encode(content).decode("ascii") for content in contents)
        return [f"data:{kind};base64,{text}" for text in texts]


def _only(addresses: list[str] | None) -> str | None:
    return None if addresses is None else addresses[0]


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _left_out(path: Path) -> Html:
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    return tag("p", f"{path.name} ({size}) is left out to keep this page small.", class_="missing")
