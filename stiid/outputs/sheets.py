"""Images of a decomposition: the input, its reconstruction, the masks, and each slot.

Shapes: T frames, K slots, H x W pixels, C = 1 or 3 channels. Images are uint8 in 0..255 or float
in 0..1. A slot has the same color in the masks and in the frame around its own tile.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stiid.outputs.overlay import overlay
from stiid.outputs.palette import colorize
from stiid.outputs.trajectories import background_slot

BACKDROP = np.array((52, 54, 60), np.uint8)  # behind a slot's image: black objects stay visible
SIMULATED = np.array((214, 66, 0), np.uint8)  # marks frames that the model has not seen
_INK = np.array((40, 40, 44), np.uint8)
_LINE = np.array((168, 170, 176), np.uint8)

_DIMMED = 0.3  # of the background's color in masks
_FAINT = 0.1  # a slot whose mask is nowhere larger counts as empty
_TILE = 112  # target size of a tile's longer side, in pixels, if no scale is given
_WIDEST = 1280  # pixels of an animation's row of tiles
_BORDER, _GAP, _MARGIN, _LINE_HEIGHT = 3, 5, 9, 18


class Segments(NamedTuple):
    """Segments of the frames of a strip."""

    ids: np.ndarray  # integers [T, H, W]
    hidden: int  # the id that is not drawn: the background's


class Strip(NamedTuple):
    """One row of a sheet: a label and one image per frame."""

    label: str
    images: np.ndarray  # uint8 [T, H, W, 3]
    color: np.ndarray | None  # of the slot, if the row shows one
    segments: Segments | None = None  # to be drawn on the images
    empty: bool = False  # a slot that shows hardly anything in any frame

    def magnified(self, scale: int) -> np.ndarray:
        """uint8 [T, H * scale, W * scale, 3], not smoothed; outlines are one pixel wide."""
        if self.segments is not None:
            ids, hidden = self.segments
            return overlay(self.images, ids, scale=scale, hidden=hidden)
        return self.images.repeat(scale, axis=1).repeat(scale, axis=2)


class _Row(NamedTuple):
    """A strip with finished tiles."""

    label: str
    tiles: np.ndarray  # uint8 [T, h, w, 3]


def decomposition_frames(
    video: np.ndarray,
    reconstruction: np.ndarray,
    masks: np.ndarray,
    means: np.ndarray,
    true_masks: np.ndarray | None = None,
    *,
    scale: int | None = None,
    simulated_from: int | None = None,
    numbers: Sequence[int] | None = None,
    background: int | None = None,
) -> np.ndarray:
    """Frames of an animation: tiles for input, reconstruction, truth, masks, overlay, each slot.

    A row that is too wide continues below.

    Args:
      video: [T, H, W, C].
      reconstruction: [T, H, W, C].
      masks: [T, K, H, W] probabilities; shown by their argmax over K.
      means: [T, K, H, W, C]; a slot's tile is mask * mean over dark gray.
      true_masks: [T, H, W] integers; each id gets the color of the slot that covers most of it.
      scale: whole-number magnification; by default, tiles are about 112 pixels large.
      simulated_from: frames from this one on are marked as predicted without seeing the input.
      numbers: numbers of the frames; by default 0, 1, …
      background: slot of the background; by default, see ``trajectories.background_slot``.

    Returns:
      uint8 [T, H', W', 3].
    """
    arrays = (video, reconstruction, masks, means, true_masks)
    rows = _rows(decomposition_strips(*arrays, background=background), scale)
    length, height, width, _ = rows[0].tiles.shape
    pitch = max(width, *(_text_width(row.label) for row in rows)) + _GAP

    lines = -(-pitch * len(rows) // _WIDEST)
    columns = -(-len(rows) // lines)
    lines, line = -(-len(rows) // columns), _LINE_HEIGHT + height
    shape = (2 * _MARGIN + lines * line + _LINE_HEIGHT, 2 * _MARGIN + pitch * columns, 3)
    canvas = np.full(shape, 255, np.uint8)
    places = []  # of the middle of each tile's upper edge
    for i, row in enumerate(rows):
        x, y = _MARGIN + i % columns * pitch + pitch // 2, _MARGIN + i // columns * line
        canvas = _write(canvas, row.label, (x, y + _LINE_HEIGHT // 2), anchor="mm")
        places.append((x, y + _LINE_HEIGHT))
    frames = np.repeat(canvas[None], length, axis=0)
    for row, (x, top) in zip(rows, places, strict=True):
        left = x - width // 2
        frames[:, top : top + height, left : left + width] = row.tiles

    bottom = _MARGIN + lines * line
    position = (places[0][0] - width // 2 + _BORDER, bottom + _LINE_HEIGHT // 2 + 2)
    for t in range(length):
        simulated = simulated_from is not None and t >= simulated_from
        number = t if numbers is None else numbers[t]
        text = f"t = {number}    simulated" if simulated else f"t = {number}"
        color = SIMULATED if simulated else _INK
        frames[t] = _write(frames[t], text, position, color=color, anchor="lm")
        if simulated:
            frames[t, :_BORDER] = frames[t, -_BORDER:] = SIMULATED
            frames[t, :, :_BORDER] = frames[t, :, -_BORDER:] = SIMULATED
    return frames


def decomposition_sheet(
    video: np.ndarray,
    reconstruction: np.ndarray,
    masks: np.ndarray,
    means: np.ndarray,
    true_masks: np.ndarray | None = None,
    *,
    frames: Sequence[int],
    scale: int | None = None,
    simulated_from: int | None = None,
    numbers: Sequence[int] | None = None,
    background: int | None = None,
) -> np.ndarray:
    """Arrange the tiles of `decomposition_frames` as a sheet, with the given `frames` as columns.

    Slots that are empty in all frames have no row: a line below the others names them.

    Returns:
      uint8 [H', W', 3].
    """
    arrays = (video, reconstruction, masks, means, true_masks)
    strips = decomposition_strips(*arrays, background=background)
    rows = _rows([strip for strip in strips if not strip.empty], scale)
    empty = ", ".join(strip.label for strip in strips if strip.empty)
    length, height, width, _ = rows[0].tiles.shape
    if not len(frames) or min(frames) < 0 or max(frames) >= length:
        raise ValueError(f"frames must be some of 0..{length - 1}, got {list(frames)}")
    side = _MARGIN + max(_text_width(row.label) for row in rows) + _GAP
    pitch = max(width, _text_width("simulated")) + _GAP
    top = _MARGIN + _LINE_HEIGHT * (1 if simulated_from is None else 2)

    bottom, right = top + (height + _GAP) * len(rows) - _GAP, side + pitch * len(frames)
    below = _LINE_HEIGHT if empty else 0
    canvas = np.full((bottom + below + _MARGIN, right + _MARGIN, 3), 255, np.uint8)
    if empty:
        position = (side, bottom + _GAP + _LINE_HEIGHT // 2)
        canvas = _write(canvas, f"empty: {empty}", position, anchor="lm")
    for column, t in enumerate(frames):
        simulated = simulated_from is not None and t >= simulated_from
        center = side + column * pitch + pitch // 2
        color = SIMULATED if simulated else _INK
        name = f"t = {t if numbers is None else numbers[t]}"
        for line, text in enumerate([name] + ["simulated"] * simulated):
            position = (center, top - _LINE_HEIGHT * line - _LINE_HEIGHT // 2)
            canvas = _write(canvas, text, position, color=color, anchor="mm")
        for i, row in enumerate(rows):
            y, x = top + i * (height + _GAP), center - width // 2
            canvas[y : y + height, x : x + width] = row.tiles[t]
    for i, row in enumerate(rows):
        position = (side - _GAP, top + i * (height + _GAP) + height // 2)
        canvas = _write(canvas, row.label, position, anchor="rm")
    return canvas


def decomposition_strips(
    video: np.ndarray,
    reconstruction: np.ndarray,
    masks: np.ndarray,
    means: np.ndarray,
    true_masks: np.ndarray | None = None,
    *,
    background: int | None = None,
) -> list[Strip]:
    """The rows that `decomposition_frames` shows, in the video's size and without borders."""
    if video.ndim != 4 or video.shape[-1] not in (1, 3) or 0 in video.shape:
        raise ValueError(f"video must have shape [T, H, W, 1 or 3], got {video.shape}")
    length, height, width, channels = video.shape
    slots = masks.shape[1] if masks.ndim == 4 else 0
    for name, array, shape in (
        ("reconstruction", reconstruction, video.shape),
        ("masks", masks, (length, max(slots, 1), height, width)),
        ("means", means, (length, slots, height, width, channels)),
        ("true_masks", true_masks, (length, height, width)),
    ):
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")

    winner = masks.argmax(1)
    if background is None:
        background = background_slot(winner)
    strips = [
        Strip("input", _rgb(video), None),
        Strip("reconstruction", _rgb(reconstruction), None),
    ]
    if true_masks is not None:
        matched = _match_slots(true_masks, winner, slots)
        strips.append(Strip("truth", _dimmed(matched, background), None))
    strips.append(Strip("masks", _dimmed(winner, background), None))
    strips.append(Strip("overlay", _rgb(video), None, Segments(winner, background)))
    for k, color in enumerate(colorize(np.arange(slots))):
        mask = masks[:, k, :, :, None].astype(np.float64)
        shown = np.rint(mask * _rgb(means[:, k]) + (1 - mask) * BACKDROP).astype(np.uint8)
        strips.append(Strip(f"slot {k}", shown, color, empty=bool(mask.max() < _FAINT)))
    return strips


def _dimmed(ids: np.ndarray, background: int) -> np.ndarray:
    """Color ids [T, H, W], and mix the color of the background with the backdrop."""
    colors = colorize(ids)
    dark = np.rint(_DIMMED * colors + (1 - _DIMMED) * BACKDROP).astype(np.uint8)
    return np.where((ids == background)[..., None], dark, colors)


def _rows(strips: Sequence[Strip], scale: int | None) -> list[_Row]:
    """Magnify and frame the tiles of strips."""
    height, width = strips[0].images.shape[1:3]
    if scale is None:
        scale = max(1, round(_TILE / max(height, width)))
    if scale < 1:
        raise ValueError(f"scale must be a positive whole number, got {scale}")
    return [_Row(s.label, _frame(s.magnified(scale), color=s.color)) for s in strips]


def _match_slots(true_masks: np.ndarray, winner: np.ndarray, slots: int) -> np.ndarray:
    """Rename true ids to slots, largest overlap in the clip first; the rest get free numbers."""
    ids, index = np.unique(true_masks, return_inverse=True)
    overlap = np.zeros((len(ids), slots), np.int64)
    np.add.at(overlap, (index.ravel(), winner.ravel()), 1)
    name = np.full(len(ids), -1)
    for n, k in zip(*np.unravel_index(np.argsort(-overlap, axis=None), overlap.shape), strict=True):
        if overlap[n, k] and name[n] < 0 and k not in name:
            name[n] = k
    name[name < 0] = slots + np.arange((name < 0).sum())
    return name[index].reshape(true_masks.shape)


def _rgb(array: np.ndarray) -> np.ndarray:
    """Convert images [..., C] to uint8 [..., 3]."""
    if array.dtype != np.uint8:
        array = np.rint(255 * np.clip(array.astype(np.float64), 0, 1)).astype(np.uint8)
    return np.broadcast_to(array, (*array.shape[:-1], 3))


def _frame(tiles: np.ndarray, *, color: np.ndarray | None) -> np.ndarray:
    """Add a colored frame or a thin gray line to tiles [T, h, w, 3]."""
    line, width = (_LINE, 1) if color is None else (color, _BORDER)
    length, height, across, _ = tiles.shape
    framed = np.full((length, height + 2 * _BORDER, across + 2 * _BORDER, 3), 255, np.uint8)
    outer, inner = _BORDER - width, _BORDER
    framed[:, outer : -outer or None, outer : -outer or None] = line
    framed[:, inner:-inner, inner:-inner] = tiles
    return framed


@cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=12)


def _text_width(text: str) -> int:
    return int(np.ceil(_font().getbbox(text)[2]))


def _write(
    canvas: np.ndarray,
    text: str,
    position: tuple[int, int],
    *,
    anchor: str,
    color: np.ndarray = _INK,
) -> np.ndarray:
    """Write text at (x, y) of a copy; anchor: Pillow's two letters, horizontal and vertical."""
    image = Image.fromarray(canvas)
    fill = tuple(color.tolist())
    ImageDraw.Draw(image).text(position, text, fill=fill, font=_font(), anchor=anchor)
    return np.array(image)
