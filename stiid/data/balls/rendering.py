"""Rendering of discs: id masks of Bouncing Balls and their colors."""

from typing import NamedTuple

import numpy as np

# Saturated corners of the RGB cube, and orange as the eighth color. The paper gives no values.
BASE_COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
NEW_COLORS = ((255, 0, 255), (0, 255, 255), (255, 255, 255), (255, 128, 0))

# The colors of the authors' code, in their order.
AUTHORS_COLORS = (
    *((227, 206, 166), (180, 120, 31), (138, 223, 178), (44, 160, 51)),
    *((153, 154, 251), (28, 26, 227), (111, 191, 253), (0, 127, 255)),
)


class _Policy(NamedTuple):
    palette: tuple[tuple[int, ...], ...]
    repeats: bool = False  # balls of a clip may have the same color
    ranked: bool = False  # not random: the n-th id of a frame has the n-th color


_POLICIES = {
    "binary": _Policy(((255,),), repeats=True),
    "white": _Policy(((255, 255, 255),), repeats=True),
    "unique4": _Policy(BASE_COLORS),
    "repeated4": _Policy(BASE_COLORS, repeats=True),
    "unique8": _Policy(BASE_COLORS + NEW_COLORS),
    "authors4": _Policy(AUTHORS_COLORS[:4] * 2, ranked=True),
    "authors8": _Policy(AUTHORS_COLORS, ranked=True),
}
COLOR_POLICIES = tuple(_POLICIES)


def color_channels(policy: str) -> int:
    """Number of channels C: 1 for "binary", else 3."""
    return len(_POLICIES[policy].palette[0])


def color_capacity(policy: str) -> int | None:
    """Maximum number of balls in a clip under `policy`; None if colors may repeat."""
    rules = _POLICIES[policy]
    return None if rules.repeats else len(rules.palette)


def draw_colors(policy: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose one color per ball.

    Args:
      policy: "binary" (white on black, one channel), "unique4" (a random choice of red, green,
        blue, yellow without repetition), "repeated4" (the same four, independently per ball),
        "unique8" (those four and magenta, cyan, white, orange, without repetition), or one of
        the authors' code: "white" (as "binary", in three equal channels), "authors8" (eight
        colors in a fixed order) or "authors4" (the first four of them, twice).
      count: number of balls, at most `color_capacity(policy)`.
      rng: the clip's generator of colors.

    Returns:
      uint8 [count, C].
    """
    palette, repeats, ranked = _POLICIES[policy]
    if ranked:
        return np.asarray(palette[:count], dtype=np.uint8)
    chosen = rng.choice(len(palette), size=count, replace=repeats)
    return np.asarray(palette, dtype=np.uint8)[chosen]


def render_masks(
    positions: np.ndarray, radii: np.ndarray, *, box: float, resolution: int
) -> np.ndarray:
    """Render the id of the ball at every pixel of one clip.

    A pixel belongs to a ball if its center, (k + 0.5) / resolution * box, is closer to the ball's
    center than the radius: a hard disc. The first coordinate selects the column, the second the
    row.

    Every pixel has one id, so masks never overlap. The discs themselves sometimes overlap, because
    a contact is detected only after the step in which it happens. A pixel of two discs goes to the
    ball whose center is relatively nearer (smallest distance / radius). With the R-NEM constants at
    64x64 this concerns 1 in 10,000 foreground pixels, in 2 % of the frames with 4 balls and 5 % of
    those with 6-8.

    Args:
      positions: [T, n, 2] centers, box units.
      radii: [n] box units; balls of radius 0 are not rendered.
      box: side of the box.
      resolution: height and width in pixels.

    Returns:
      uint8 [T, resolution, resolution]: 0 is background, k + 1 is ball k.
    """
    num_frames = len(positions)
    frame = np.arange(num_frames)[:, None, None]
    masks = np.zeros((num_frames, resolution, resolution), dtype=np.uint8)
    nearest = np.ones(masks.shape)  # (distance / radius)^2 of the pixel's owner
    for k in np.flatnonzero(radii):
        # Only the square of pixels around the disc is visited, shifted to lie inside the image.
        size = min(int(2 * radii[k] / box * resolution) + 2, resolution)
        corner = np.floor((positions[:, k] - radii[k]) / box * resolution)
        corner = np.clip(corner, 0, resolution - size).astype(np.int64)
        pixels = corner[..., None] + np.arange(size)  # [T, 2, size]
        centers = (pixels + 0.5) / resolution * box
        squares = ((centers - positions[:, k, :, None]) / radii[k]) ** 2
        distance = squares[:, 1, :, None] + squares[:, 0, None, :]
        window = frame, pixels[:, 1, :, None], pixels[:, 0, None, :]
        owned = distance < nearest[window]
        nearest[window] = np.where(owned, distance, nearest[window])
        masks[window] = np.where(owned, np.uint8(k + 1), masks[window])
    return masks


def snap(
    positions: np.ndarray, radii: np.ndarray, *, box: float, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """Round positions and radii so that `render_masks` gives the discs of DDPAE's data.

    These are filled circles of OpenCV: center and radius are whole pixels (the center is rounded to
    the nearest, the radius down), and all pixels up to and including that distance are filled.

    Args:
      positions: [T, n, 2] centers, box units.
      radii: [n] box units.
      box: side of the box.
      resolution: height and width in pixels.

    Returns:
      Positions and radii, box units.
    """
    unit = box / resolution
    whole = np.floor(radii / unit)
    # Squared distances of pixels are whole numbers: adding one half turns < into <=.
    return (np.rint(positions / unit) + 0.5) * unit, np.sqrt(whole**2 + 0.5) * (radii > 0) * unit


def paint(masks: np.ndarray, colors: np.ndarray, *, policy: str = "binary") -> np.ndarray:
    """Color the id masks of a clip.

    Args:
      masks: uint8 [T, H, W]; 0 is background.
      colors: uint8 [n, C], row k of the ball of id k + 1.
      policy: under "authors4" and "authors8" the n-th smallest id *of a frame* has the n-th
        color: while a ball is hidden, balls of larger ids change their colors.

    Returns:
      uint8 [T, H, W, C] on a black background.
    """
    if _POLICIES[policy].ranked:
        seen = np.stack([(masks == k + 1).any((1, 2)) for k in range(len(colors))], axis=1)
        ranks = np.concatenate([np.zeros((len(masks), 1), int), np.cumsum(seen, axis=1)], axis=1)
        masks = ranks[np.arange(len(masks))[:, None, None], masks]
    video = np.zeros((*masks.shape, colors.shape[-1]), dtype=np.uint8)
    lit = masks > 0
    video[lit] = colors[masks[lit] - 1]
    return video
