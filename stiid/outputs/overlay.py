"""Pictures with segments drawn on them."""

import numpy as np

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
            "expected pictures [..., H, W, 1 or 3] and ids [..., H, W] of the same sizes and a "
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


def _border(ids: np.ndarray) -> np.ndarray:
    """Which pixels [..., H, W] touch a pixel of another id on one of their four sides."""
    down, right = ids[..., 1:, :] != ids[..., :-1, :], ids[..., 1:] != ids[..., :-1]
    border = np.zeros(ids.shape, np.bool_)
    border[..., 1:, :] |= down
    border[..., :-1, :] |= down
    border[..., 1:] |= right
    border[..., :-1] |= right
    return border
