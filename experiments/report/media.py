"""Pictures and videos inside of the page, as long as there is room."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.report.markup import Html, tag

_LIMIT = 3_600_000  # bytes of media; the page is to stay below 5 MB, and base64 adds a third
_TYPES = {".png": "image/png", ".mp4": "video/mp4"}


class Media:
    """What has been put into the page so far.

    Args:
      limit: bytes that fit in, before their encoding.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._room = limit

    def array(self, picture: np.ndarray) -> str | None:
        """The address of a picture, uint8 [H, W, 3], or None if there is no room."""
        file = io.BytesIO()
        Image.fromarray(picture).save(file, format="PNG", optimize=True)
        return self._address(file.getvalue(), "image/png")

    def picture(self, path: Path, alt: str) -> Html:
        """A picture file."""
        address = self._file(path)
        return tag("img", src=address, alt=alt) if address else _left_out(path)

    def movie(self, path: Path, label: str) -> Html:
        """A video file with its controls."""
        address = self._file(path)
        if address is None:
            return _left_out(path)
        return tag("video", src=address, aria_label=label, controls=True, loop=True, muted=True)

    def _file(self, path: Path) -> str | None:
        return self._address(path.read_bytes(), _TYPES[path.suffix])

    def _address(self, content: bytes, kind: str) -> str | None:
        if len(content) > self._room:
            return None
        self._room -= len(content)
        return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _left_out(path: Path) -> Html:
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    return tag("p", f"{path.name} ({size}) is left out to keep this page small.", class_="missing")
