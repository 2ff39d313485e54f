"""Overlays: images with their segments in color."""

import numpy as np
from PIL import Image

from stiid.outputs.palette import colorize

_OPACITY = 0.45


def overlay(
    images: np.ndarray, ids: np.ndarray, *, scale: int = 1, hidden: int | None = None
) -> np.ndarray:
    """Tint every segment in its color and draw its border.

    Args:
      images: uint8 [..., H, W, 1 or 3].
      ids: integers [..., H, W], not negative: slots or objects.
      scale: whole-number magnification of the images; borders are one pixel wide at any scale.
      hidden: id of a segment that is not tinted, such as the background 0 of true masks.

    Returns:
      uint8 [..., H * scale, W * scale, 3].

    Raises:
      ValueError: the shapes do not agree, or the scale is not positive.
    """
    if images.shape[:-1] != ids.shape or images.shape[-1] not in (1, 3) or scale < 1:
        raise ValueError(
            "expected images [..., H, W, 1 or 3] and ids [..., H, W] of the same sizes and a "
            f"positive scale, got {images.shape}, {ids.shape} and {scale}"
        )
    images = np.broadcast_to(images, (*ids.shape, 3))
    images = images.repeat(scale, axis=-3).repeat(scale, axis=-2)
    ids = ids.repeat(scale, axis=-2).repeat(scale, axis=-1)
    colors = colorize(ids)
    tinted = np.rint((1 - _OPACITY) * images + _OPACITY * colors).astype(np.uint8)
    shown = np.where(_border(ids)[..., None], colors, tinted)
    if hidden is None:
        return shown
    return np.where((ids == hidden)[..., None], images, shown)


def overlay_on_original(
    original: np.ndarray,
    slots: np.ndarray,
    *,
    hidden: int,
    origin: np.ndarray,
    scale: np.ndarray,
    side: int,
) -> np.ndarray:
    """Show slots on a frame as it is in its file, with the file's aspect ratio.

    Args:
      original: uint8 [H, W, 3].
      slots: integers [h, w], the slot of each pixel of the model's input.
      hidden: a slot that is not tinted, such as the background's.
      origin: (x, y) of the corner of the model's input, in pixels of the original.
      scale: (x, y) pixels of the original per pixel of the model's input.
      side: target size of the longer side, in pixels. Smaller images are magnified by a whole
        number to about this size; those longer than twice as much are reduced to twice as much.

    Returns:
      uint8 [H', W', 3]; pixels outside the model's input are not tinted.
    """
    height, width = original.shape[:2]
    longest = max(height, width)
    factor = max(1, round(side / longest)) if longest <= 2 * side else 2 * side / longest
    size = (round(width * factor), round(height * factor))
    method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    image = np.asarray(Image.fromarray(original).resize(size, method))
    places = []
    for axis, (start, step, length) in enumerate(zip(origin, scale, size, strict=True)):
        seen = np.floor(((np.arange(length) + 0.5) / factor - start) / step).astype(int)
        places.append(np.where((seen >= 0) & (seen < slots.shape[1 - axis]), seen, -1))
    columns, rows = places
    inside = (rows >= 0)[:, None] & (columns >= 0)
    ids = np.where(inside, slots[rows[:, None], columns], hidden)
    return overlay(image, ids, hidden=hidden)


def _border(ids: np.ndarray) -> np.ndarray:
    """Whether each pixel [..., H, W] touches a pixel of another id on one of its four sides."""
    down, right = ids[..., 1:, :] != ids[..., :-1, :], ids[..., 1:] != ids[..., :-1]
    border = np.zeros(ids.shape, np.bool_)
    border[..., 1:, :] |= down
    border[..., :-1, :] |= down
    border[..., 1:] |= right
    border[..., :-1] |= right
    return border
