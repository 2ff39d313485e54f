"""A contact sheet and an animation of a data source, with masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stiid.data.source import UNKNOWN_OBJECTS, Source
from stiid.data.spacing import spaced
from stiid.media import write_gif, write_mp4, write_png
from stiid.outputs.overlay import overlay

_COLUMNS = 8  # frames of a clip in the sheet
_TILE = 128  # target size of a tile's longer side, in pixels
_GAP, _LINE_HEIGHT = 6, 20
_FPS = 10
_INK = (40, 40, 44)


def write_preview(folder: Path, source: Source, *, clips: int) -> list[Path]:
    """Write `sheet.png`, `clips.gif` and `clips.mp4` of evenly spaced clips.

    The sheet shows a clip as a row of frames; if it has true masks, a second row shows the objects
    in color. In the animation, clips run side by side, with the objects in color below.

    Args:
      folder: created if it is missing.
      source: any data source.
      clips: largest number of clips.

    Returns:
      The paths of the files.
    """
    shown = [source[place] for place in spaced(len(source), clips)]
    paths = [folder / "sheet.png", folder / "clips.gif", folder / "clips.mp4"]
    write_png(paths[0], contact_sheet(shown))
    animation = _animation(shown)
    write_gif(paths[1], animation, fps=_FPS)
    write_mp4(paths[2], animation, fps=_FPS)
    return paths


def contact_sheet(clips: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Each clip's name, a row of its frames and a row of its objects: uint8 [H', W', 3]."""
    parts = []
    for clip in clips:
        columns = spaced(len(clip["video"]), _COLUMNS)
        rows = [_side_by_side(tiles[columns]) for tiles in _tiles(clip)]
        objects = clip["n_objects"]
        known = "no masks" if objects == UNKNOWN_OBJECTS else f"{objects} objects"
        times = f"t = {', '.join(map(str, columns))}"
        parts += [_line(f"{clip['id']}   {known}   {times}", rows[0].shape[1]), *rows]
    width = max(part.shape[1] for part in parts)
    white = [(0, _GAP), (0, 0), (0, 0)]
    padded = [
        np.pad(
            np.pad(part, [(0, 0), (0, width - part.shape[1]), (0, 0)], constant_values=255),
            white,
            constant_values=255,
        )
        for part in parts
    ]
    return np.pad(np.concatenate(padded), [(_GAP, 0), (_GAP, _GAP), (0, 0)], constant_values=255)


def _animation(clips: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """uint8 [T, H', W', 3]."""
    columns = [np.stack([_stack(t) for t in zip(*_tiles(clip), strict=True)]) for clip in clips]
    return np.stack([_side_by_side(np.stack(frame)) for frame in zip(*columns, strict=True)])


def _tiles(clip: Mapping[str, Any]) -> list[np.ndarray]:
    """Magnified frames [T, h, w, 3] of a clip; if it has masks, also with its objects in color."""
    video = clip["video"]
    scale = max(1, round(_TILE / max(video.shape[1:3])))
    plain = np.broadcast_to(video, (*video.shape[:3], 3))
    plain = plain.repeat(scale, axis=1).repeat(scale, axis=2)
    if clip["n_objects"] == UNKNOWN_OBJECTS:
        return [plain]
    return [plain, overlay(video, clip["masks"], scale=scale, hidden=0)]


def _side_by_side(tiles: np.ndarray) -> np.ndarray:
    """Tiles [n, h, w, 3] as one image with white gaps."""
    gap = [(0, 0), (0, 0), (0, _GAP), (0, 0)]
    row = np.concatenate(list(np.pad(tiles, gap, constant_values=255)), axis=1)
    return row[:, :-_GAP]


def _stack(tiles: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((_GAP, *tiles[0].shape[1:]), 255, np.uint8)
    parts = [part for tile in tiles for part in (tile, gap)]
    return np.concatenate(parts[:-1])


def _line(text: str, width: int) -> np.ndarray:
    font = ImageFont.load_default(size=13)
    width = max(width, int(np.ceil(font.getbbox(text)[2])))
    image = Image.new("RGB", (width, _LINE_HEIGHT), "white")
    ImageDraw.Draw(image).text((0, _LINE_HEIGHT // 2), text, fill=_INK, font=font, anchor="lm")
    return np.asarray(image)
