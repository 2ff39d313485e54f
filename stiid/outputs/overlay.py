"""Images with segments drawn on them."""

import numpy as np
from PIL import Image

from stiid.outputs.sheets import colorize

_OPACITY = 0.45


def overlay(
    pictures: np.ndarray, ids: np.ndarray, *, scale: int = 1, hidden: int | None = None
) -> np.ndarray:
    """Tints every segment in its color and draws its border.

    Args:
        pictures: uint8 [..., H, W, 1 or 3].
        ids: integers [..., H, W], not negative: slots or objects.
        scale: Whole-number magnification, before the borders are drawn: they stay one pixel wide.
        hidden: An id that is left as it is, as the background 0 of true masks.

    Returns:
        uint8 [..., H * scale, W * scale, 3].

    Raises:
        ValueError: If the shapes do not agree or the scale is not positive.
    """
    if pictures.shape[:-1] != ids.shape or pictures.shape[-1] not in (1, 3) or scale < 1:
        raise ValueError(
            "expected images [..., H, W, 1 or 3] and ids [..., H, W] of the same sizes and a "
            f"positive scale, got {pictures.shape}, {ids.shape} and {scale}"
        )
    pictures = np.broadcast_to(pictures, (*ids.shape, 3))
    pictures = pictures.repeat(scale, axis=-3).repeat(scale, axis=-2)
    ids = ids.repeat(scale, axis=-2).repeat(scale, axis=-1)
    colors = colorize(ids)
    tinted = np.rint((1 - _OPACITY) * pictures + _OPACITY * colors).astype(np.uint8)
    shown = np.where(_border(ids)[..., None], colors, tinted)
    if hidden is None:
        return shown
    return np.where((ids == hidden)[..., None], pictures, shown)


def overlay_on_original(
    original: np.ndarray,
    slots: np.ndarray,
    *,
    hidden: int,
    origin: np.ndarray,
    scale: np.ndarray,
    side: int,
) -> np.ndarray:
    """Draws the slots on a frame of the file that they were found in, with its aspect ratio.

    Args:
        original: uint8 [H, W, 3].
        slots: integers [h, w], the slot of each pixel that the model saw.
        hidden: A slot that is left as it is, as the background's.
        origin: (x, y) of the corner of what the model saw, in the original.
        scale: (x, y) pixels of the original per pixel that the model saw.
        side: pixels of the longer side to aim at; a longer one is reduced to twice as much.

    Returns:
        uint8 [H', W', 3]; what the model did not see is as it was.
    """
    height, width = original.shape[:2]
    longest = max(height, width)
    factor = max(1, round(side / longest)) if longest <= 2 * side else 2 * side / longest
    size = (round(width * factor), round(height * factor))
    method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    picture = np.asarray(Image.fromarray(original).resize(size, method))
    places = []
    for axis, (start, step, length) in enumerate(zip(origin, scale, size, strict=True)):
        seen = np.floor(((np.arange(length) + 0.5) / factor - start) / step).astype(int)
        places.append(np.where((seen >= 0) & (seen < slots.shape[1 - axis]), seen, -1))
    columns, rows = places
    inside = (rows >= 0)[:, None] & (columns >= 0)
    ids = np.where(inside, slots[rows[:, None], columns], hidden)
    return overlay(picture, ids, hidden=hidden)


def _border(ids: np.ndarray) -> np.ndarray:
    """Which pixels [..., H, W] touch a pixel of another id on one of their four sides."""
    down, right = ids[..., 1:, :] != ids[..., :-1, :], ids[..., 1:] != ids[..., :-1]
    border = np.zeros(ids.shape, np.bool_)
    border[..., 1:, :] |= down
    border[..., :-1, :] |= down
    border[..., 1:] |= right
    border[..., :-1] |= right
    return border
