"""Figures for papers and talks: chosen frames and rows of a decomposition, as SVG, PDF or PNG.

In SVG and PDF, labels are text, and pixels stay sharp at any size. Lengths are points (1/72 inch).
"""

import base64
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stiid.data.spacing import spaced
from stiid.files import atomic_path
from stiid.outputs.sheets import SIMULATED, Strip

SUFFIXES = (".svg", ".pdf", ".png")
_COLUMNS = 7  # frames by default: with their labels, they fit a width of 6.5 inches
_TILE = 54.0  # points of a tile's longer side by default
_GAP, _SIZE = 3.0, 8.0  # space between tiles; size of the font
_PNG = 3  # pixels per point
_INK = (40, 40, 44)
# Widths of Helvetica's letters in thousandths of the font size; others are as wide as a digit.
_WIDTHS = {
    **dict.fromkeys("ijl", 222),
    **dict.fromkeys("ft ,.", 278),
    **dict.fromkeys("cksvxyz", 500),
    **{"r": 333, "m": 833, "w": 722, "=": 584},
}


class FigureRequest(NamedTuple):
    """Request for a figure: its content and its path."""

    path: Path
    clip: int = 0  # its number in a batch
    frames: tuple[int, ...] = ()  # their numbers; (): some, evenly spaced
    # Labels: input, reconstruction, truth, masks, overlay, slot 0, …; (): all but empty slots.
    rows: tuple[str, ...] = ()
    scale: float = 0.0  # points per pixel; 0: a tile of about 54 points

    def check(self) -> None:
        """Refuse requests that cannot be drawn, before anything is computed.

        Raises:
          ValueError: the message names the allowed values.
        """
        if self.path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"figure {self.path}: expected a name that ends with {SUFFIXES}")
        if self.scale < 0 or self.clip < 0 or min(self.frames, default=0) < 0:
            raise ValueError("scale, clip and frames of a figure must not be negative")


class _Tile(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    pixels: np.ndarray  # uint8 [H, W, 3]
    color: tuple[int, ...] | None  # of a frame around it


class _Text(NamedTuple):
    x: float  # of its middle, or of its end
    y: float  # of its base line
    text: str
    centered: bool
    color: tuple[int, ...]


class _Layout(NamedTuple):
    width: float
    height: float
    tiles: list[_Tile]
    texts: list[_Text]


def write_figure(
    request: FigureRequest,
    strips: Sequence[Strip],
    *,
    numbers: Sequence[int] | None = None,
    simulated_from: int | None = None,
) -> None:
    """Write a figure, whole or not at all.

    Args:
      request: what to show, and where to write it.
      strips: from ``sheets.decomposition_strips``.
      numbers: numbers of the frames; by default 0, 1, …
      simulated_from: frames from this one on are marked as simulated.

    Raises:
      ValueError: there are no such frames or rows.
    """
    request.check()
    length = len(strips[0].images)
    names = list(range(length) if numbers is None else numbers)
    missing = [number for number in request.frames if number not in names]
    if missing:
        raise ValueError(f"frames of a figure: there is no frame {missing[0]}, only {names}")
    frames = [names.index(number) for number in request.frames] or spaced(length, _COLUMNS)
    known = {strip.label: strip for strip in strips}
    unknown = [label for label in request.rows if label not in known]
    if unknown:
        raise ValueError(
            f"rows of a figure: there is no row {unknown[0]!r}, only {', '.join(known)}"
        )
    rows = [known[label] for label in request.rows] or [
        strip for strip in strips if not strip.empty
    ]
    marked = [] if simulated_from is None else [t for t in frames if t >= simulated_from]
    layout = _layout(rows, frames, names, marked, scale=request.scale)
    write = {".svg": _svg, ".pdf": _pdf, ".png": _png}[request.path.suffix.lower()]
    with atomic_path(request.path) as temporary:
        temporary.write_bytes(write(layout))


def _layout(
    rows: Sequence[Strip],
    frames: Sequence[int],
    names: Sequence[int],
    marked: Sequence[int],
    *,
    scale: float,
) -> _Layout:
    """Place a row of tiles for each strip, with labels at the left and frame numbers above."""
    height, width = rows[0].images.shape[1:3]
    scale = scale or _TILE / max(height, width)
    across, down = width * scale, height * scale
    left = max(_width(row.label) for row in rows) + 2 * _GAP
    top = _SIZE + 2 * _GAP
    sharp = max(1, round(scale * _PNG))  # outlines are one pixel wide in a PNG
    images = [row.images if row.segments is None else row.magnified(sharp) for row in rows]
    tiles, texts = [], []
    for column, t in enumerate(frames):
        x = left + column * (across + _GAP)
        color = tuple(SIMULATED.tolist()) if t in marked else _INK
        texts.append(_Text(x + across / 2, _SIZE + _GAP / 2, f"t = {names[t]}", True, color))
        for line, row in enumerate(rows):
            border = None if row.color is None else tuple(row.color.tolist())
            y = top + line * (down + _GAP)
            tiles.append(_Tile(x, y, across, down, images[line][t], border))
    for line, row in enumerate(rows):
        y = top + line * (down + _GAP) + down / 2 + 0.35 * _SIZE
        texts.append(_Text(left - _GAP, y, row.label, False, _INK))
    total = (left + len(frames) * (across + _GAP), top + len(rows) * (down + _GAP))
    return _Layout(*total, tiles, texts)


def _width(text: str) -> float:
    return sum(_WIDTHS.get(letter, 556) for letter in text) * _SIZE / 1000


def _svg(layout: _Layout) -> bytes:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{layout.width:g}pt" '
        f'height="{layout.height:g}pt" viewBox="0 0 {layout.width:g} {layout.height:g}">'
    ]
    for tile in layout.tiles:
        place = f'x="{tile.x:g}" y="{tile.y:g}" width="{tile.width:g}" height="{tile.height:g}"'
        buffer = io.BytesIO()
        Image.fromarray(tile.pixels).save(buffer, "PNG", optimize=True)
        data = base64.b64encode(buffer.getvalue()).decode()
        parts.append(
            f'<image {place} preserveAspectRatio="none" style="image-rendering:pixelated" '
            f'href="data:image/png;base64,{data}"/>'
        )
        if tile.color is not None:
            parts.append(f'<rect {place} fill="none" stroke="rgb{tile.color}"/>')
    for text in layout.texts:
        anchor = "middle" if text.centered else "end"
        parts.append(
            f'<text x="{text.x:g}" y="{text.y:g}" font-size="{_SIZE:g}" text-anchor="{anchor}" '
            f'font-family="Helvetica, Arial, sans-serif" fill="rgb{text.color}">'
            f"{escape(text.text)}</text>"
        )
    return "\n".join([*parts, "</svg>\n"]).encode()


def _pdf(layout: _Layout) -> bytes:
    """Write one page; the origin in PDF is the lower left corner."""
    objects: list[bytes] = []
    drawing = []
    for number, tile in enumerate(layout.tiles):
        height, width = tile.pixels.shape[:2]
        head = (
            f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
            "/ColorSpace /DeviceRGB /BitsPerComponent 8"
        )
        objects.append(_stream(tile.pixels.tobytes(), head))
        x, y = tile.x, layout.height - tile.y - tile.height
        drawing.append(f"q {tile.width:g} 0 0 {tile.height:g} {x:g} {y:g} cm /I{number} Do Q")
        if tile.color is not None:
            drawing.append(f"{_rgb(tile.color)} RG {x:g} {y:g} {tile.width:g} {tile.height:g} re S")
    for text in layout.texts:
        start = text.x - _width(text.text) * (0.5 if text.centered else 1.0)
        literal = text.text.translate({ord(letter): f"\\{letter}" for letter in "()\\"})
        drawing.append(
            f"BT /F {_SIZE:g} Tf {_rgb(text.color)} rg {start:g} {layout.height - text.y:g} Td "
            f"({literal}) Tj ET"
        )
    images = " ".join(f"/I{number} {5 + number} 0 R" for number in range(len(objects)))
    front = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {layout.width:g} {layout.height:g}] "
            f"/Contents 4 0 R /Resources << /XObject << {images} >> /Font << /F << /Type /Font "
            "/Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        ).encode(),
        _stream("\n".join(drawing).encode("latin-1", "replace"), ""),
    ]
    content, places = b"%PDF-1.5\n", []
    for number, body in enumerate([*front, *objects], 1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(places) + 1
    return content + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\n"
        b"startxref\n%d\n%%%%EOF\n" % (count, table, count, len(content))
    )


def _stream(data: bytes, head: str) -> bytes:
    packed = zlib.compress(data, 9)
    start = f"<< {head} /Filter /FlateDecode /Length {len(packed)} >>\nstream\n".encode()
    return start + packed + b"\nendstream"


def _rgb(color: Sequence[int]) -> str:
    return " ".join(f"{value / 255:.3g}" for value in color)


def _png(layout: _Layout) -> bytes:
    size = (round(layout.width * _PNG), round(layout.height * _PNG))
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for tile in layout.tiles:
        x, y, width, height = (round(value * _PNG) for value in tile[:4])
        pixels = Image.fromarray(tile.pixels).resize((width, height), Image.Resampling.NEAREST)
        image.paste(pixels, (x, y))
        if tile.color is not None:
            draw.rectangle((x, y, x + width - 1, y + height - 1), outline=tile.color, width=_PNG)
    font = ImageFont.load_default(size=_SIZE * _PNG)
    # Pillow's font may be wider than Helvetica, for which the labels have room.
    fits = min(_width(text.text) * _PNG / font.getlength(text.text) for text in layout.texts)
    if fits < 1:
        font = ImageFont.load_default(size=fits * _SIZE * _PNG)
    for text in layout.texts:
        anchor = "ms" if text.centered else "rs"
        position = (text.x * _PNG, text.y * _PNG)
        draw.text(position, text.text, fill=text.color, font=font, anchor=anchor)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
