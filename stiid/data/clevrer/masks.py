"""True masks of CLEVRER by ray casting: the object nearest to the camera at each pixel.

Spheres have radius 0.2, cylinders radius 0.2 and height 0.4 along their own z axis, cubes side 0.4.
These sizes are VRDP's.

Shapes: T frames, N objects, H rows, W columns; F frames in which an object may be visible, and h, w
rows and columns of the window around it there.
"""

import functools
from collections.abc import Sequence

import numpy as np

from stiid.data.clevrer import camera

HALF_SIZE = 0.2
# Radius of the bounding sphere of each shape.
_REACH = {
    "sphere": HALF_SIZE,
    "cylinder": HALF_SIZE * np.sqrt(2),
    "cube": HALF_SIZE * np.sqrt(3),
}
_TINY = 1e-30  # replaces 0 where a ray is parallel to a face


def ray_cast(
    shapes: Sequence[str],
    locations: np.ndarray,
    orientations: np.ndarray,
    *,
    rows: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """Cast one ray per pixel and frame.

    Args:
      shapes: "sphere", "cylinder" or "cube" for each object.
      locations: [T, N, 3] centers.
      orientations: [T, N, 3] Euler angles about x, y, z in radians, applied in this order about
        fixed axes.
      rows: [H] increasing positions in pixels of the 480x320 files, where the center of the first
        pixel is 0.5.
      columns: [W], likewise.

    Returns:
      uint8 [T, H, W]: 0 is background, n + 1 object n.
    """
    frames = len(locations)
    rays = camera.rays(columns, rows[:, None])
    nearest = np.full((frames, len(rows), len(columns)), np.inf)
    ids = np.zeros(nearest.shape, np.uint8)
    for number, shape in enumerate(shapes):
        centers = locations[:, number]
        seen, tops, lefts, height, width = _windows(centers, _REACH[shape], rows, columns)
        if not len(seen):
            continue
        place = (
            seen[:, None, None],
            (tops[:, None] + np.arange(height))[:, :, None],
            (lefts[:, None] + np.arange(width))[:, None, :],
        )
        depth = _depth(
            shape,
            camera.POSITION - centers[seen],
            rays[place[1:]],
            rotations(orientations[seen, number]),
        )
        before = nearest[place]
        closer = depth < before
        nearest[place] = np.where(closer, depth, before)
        ids[place] = np.where(closer, np.uint8(number + 1), ids[place])
    return ids


def rotations(angles: np.ndarray) -> np.ndarray:
    """Matrices [..., 3, 3] that rotate an object about x, then y, then z by angles [..., 3]."""
    cosine, sine = np.cos(angles), np.sin(angles)
    zero, one = np.zeros_like(angles[..., 0]), np.ones_like(angles[..., 0])

    def matrix(*rows: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    (cx, cy, cz), (sx, sy, sz) = np.moveaxis(cosine, -1, 0), np.moveaxis(sine, -1, 0)
    about_x = matrix((one, zero, zero), (zero, cx, -sx), (zero, sx, cx))
    about_y = matrix((cy, zero, sy), (zero, one, zero), (-sy, zero, cy))
    about_z = matrix((cz, -sz, zero), (sz, cz, zero), (zero, zero, one))
    return about_z @ about_y @ about_x


def _windows(
    centers: np.ndarray, reach: float, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """Windows in which an object may be visible: frames [F], tops [F], lefts [F], height, width.

    A window contains the image of the box, parallel to the image plane, around the bounding sphere:
    the image of a box lies between the images of its corners.
    """
    right, down, depth = ((centers - camera.POSITION) @ camera.AXES.T).T
    near, far = depth - reach, depth + reach
    cut = near < 1e-3  # the sphere reaches the camera's plane: its image may be anywhere
    near = np.where(cut, 1.0, near)

    def span(offset: np.ndarray, middle: float, places: np.ndarray) -> tuple[np.ndarray, ...]:
        low, high = offset - reach, offset + reach
        least = middle + camera.FOCAL * np.minimum(low / near, low / far)
        most = middle + camera.FOCAL * np.maximum(high / near, high / far)
        first = np.where(cut, 0, np.searchsorted(places, least))
        return first, np.where(cut, len(places), np.searchsorted(places, most, side="right"))

    with np.errstate(divide="ignore", invalid="ignore"):  # far = 0 only where cut
        top, bottom = span(down, camera.CENTER[1], rows)
        left, end = span(right, camera.CENTER[0], columns)
    seen = np.flatnonzero((far > 0) & (bottom > top) & (end > left))
    height = int((bottom - top)[seen].max(initial=0))
    width = int((end - left)[seen].max(initial=0))
    tops = np.minimum(top[seen], len(rows) - height)
    return seen, tops, np.minimum(left[seen], len(columns) - width), height, width


def _depth(shape: str, origins: np.ndarray, rays: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Depth at which rays enter an object; infinite where they miss it or it is behind the camera.

    Args:
      shape: of the object.
      origins: [F, 3] of the rays, from the object's center.
      rays: [F, h, w, 3].
      turned: [F, 3, 3] rotation matrices of the object.

    Returns:
      [F, h, w].
    """
    if shape == "sphere":
        enter, leave = _quadric(origins[:, None, None], rays)
    else:  # in the object's axes; a ray is inside when it is inside of all pairs of faces
        start = (origins[:, None] @ turned)[:, :, None]
        rays = (rays.reshape(len(rays), -1, 3) @ turned).reshape(rays.shape)
        if shape == "cube":
            sides = [_slabs(start[..., axis], rays[..., axis]) for axis in range(3)]
            enter = functools.reduce(np.maximum, (side[0] for side in sides))
            leave = functools.reduce(np.minimum, (side[1] for side in sides))
        else:
            side_in, side_out = _quadric(start[..., :2], rays[..., :2])
            cap_in, cap_out = _slabs(start[..., 2], rays[..., 2])
            enter, leave = np.maximum(side_in, cap_in), np.minimum(side_out, cap_out)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def _quadric(start: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points where lines enter and leave a sphere, or, in two dimensions, an infinite cylinder."""
    square = np.maximum(_dot(rays, rays), _TINY)
    half = _dot(start, rays)
    inside = half**2 - square * (_dot(start, start) - HALF_SIZE**2)
    root = np.sqrt(np.maximum(inside, 0))
    missed = inside < 0
    return (
        np.where(missed, np.inf, (-half - root) / square),
        np.where(missed, -np.inf, (-half + root) / square),
    )


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", one, other)


def _slabs(start: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points where lines enter and leave the space between two parallel faces."""
    inverse = 1 / np.where(np.abs(rays) < _TINY, _TINY, rays)
    one, other = (-HALF_SIZE - start) * inverse, (HALF_SIZE - start) * inverse
    return np.minimum(one, other), np.maximum(one, other)
