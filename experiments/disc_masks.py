"""True masks of an animation of white balls on black, found by fitting discs of known radii.

    python -m experiments.disc_masks balls4mass_rnem1.gif --balls=4 --crop 0 0 64 64 --size=32 \
        --output=truth.npy

Animations such as R-NEM's show the frames, without true masks. Balls are hard discs that do not
overlap, so that fits of a quarter pixel tell them apart where they touch, and the nearest of the
same radius is the same ball in the next frame.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve

import stiid

_RADII = (5.12, 6.4)  # pixels: .08 and .1 of the 64 of R-NEM's files
_STEP = 0.25  # pixels between the centers that are tried
_BLACK = 3.0  # a black pixel in a disc counts against so many white ones
_FAR = 1e6  # squared pixels: a ball does not change its radius


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", help="an animation, which shows all balls in each frame")
    parser.add_argument("--balls", type=int, required=True, help="number of balls")
    parser.add_argument("--crop", type=int, nargs=4, default=(), help="left, top, width, height")
    parser.add_argument("--radii", type=float, nargs="+", default=_RADII, help="(%(default)s)")
    parser.add_argument("--size", type=int, required=True, help="sides of the masks, in pixels")
    parser.add_argument("--output", type=Path, required=True, help="an .npy file")
    options = parser.parse_args(argv)
    white = stiid.read_video(options.video, crop=tuple(options.crop))[..., 0] > 127
    discs = find_discs(white, options.balls, radii=options.radii)
    np.save(options.output, draw(discs, white.shape[1:], size=options.size))
    seen = draw(discs, white.shape[1:], size=white.shape[1]) > 0
    print(f"wrote {options.output}: discs differ from {(seen != white).mean():.2%} of the pixels")


def find_discs(white: np.ndarray, balls: int, *, radii: Sequence[float]) -> np.ndarray:
    """Discs (y, x, radius) [T, balls, 3] in frames, bool [T, H, W], in the order of frame 0."""
    templates = [
        (radius, y, x, _disc(radius, y, x, half=int(max(radii)) + 1))
        for radius in radii
        for y in np.arange(0, 1, _STEP)
        for x in np.arange(0, 1, _STEP)
    ]
    discs = [_fit(white[0], balls, templates)]
    for frame in white[1:]:
        found = _fit(frame, balls, templates)
        last = discs[-1][:, None]
        distances = ((found[None, :, :2] - last[..., :2]) ** 2).sum(-1)
        distances += _FAR * (found[None, :, 2] != last[..., 2])
        discs.append(found[linear_sum_assignment(distances)[1]])
    return np.stack(discs)


def draw(discs: np.ndarray, shape: tuple[int, ...], *, size: int) -> np.ndarray:
    """Masks uint8 [T, size, size] of discs in frames of a square shape: ball i has the id i + 1."""
    places = (np.arange(size) + 0.5) * shape[0] / size - 0.5
    y, x, radius = np.moveaxis(discs[..., None, None], 2, 0)  # [T, balls, 1, 1]
    distances = ((places[:, None] - y) ** 2 + (places - x) ** 2) / radius**2
    return np.where(distances.min(1) <= 1, distances.argmin(1) + 1, 0).astype(np.uint8)


def _fit(
    white: np.ndarray, balls: int, templates: Sequence[tuple[float, float, float, np.ndarray]]
) -> np.ndarray:
    """Discs [balls, 3] one by one, each where it covers most of what is white and not covered."""
    height, width = white.shape
    margin = templates[0][3].shape[0] // 2
    value = np.pad(np.where(white, 1.0, -_BLACK), margin, constant_values=-_BLACK)
    rows, columns = np.mgrid[:height, :width]
    discs = []
    for _ in range(balls):
        best = (-np.inf, 0.0, 0.0, 0.0)
        for radius, y, x, disc in templates:
            covered = fftconvolve(value, disc[::-1, ::-1], mode="valid")
            row, column = np.unravel_index(covered.argmax(), covered.shape)
            best = max(best, (covered[row, column], row + y, column + x, radius))
        _, y, x, radius = best
        discs.append((y, x, radius))
        taken = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        inside = value[margin : margin + height, margin : margin + width]
        inside[taken] = np.minimum(inside[taken], 0.0)
    return np.array(discs)


def _disc(radius: float, y: float, x: float, *, half: int) -> np.ndarray:
    """The pixels of a disc around (y, x), 0 ≤ y, x < 1, in a square of 2 · half + 1."""
    places = np.arange(-half, half + 1)
    return ((places[:, None] - y) ** 2 + (places - x) ** 2 <= radius**2).astype(float)


if __name__ == "__main__":
    main()
