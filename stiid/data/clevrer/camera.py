"""CLEVRER's camera: the same pinhole camera for all videos, in pixels of their 480x320 files.

World coordinates are those of the annotations: the floor is z = 0, +x points towards the camera, +y
to the right and +z up. Pixel k spans [k, k + 1].

The numbers are derived from the projection matrix in VRDP (github.com/dingmyu/VRDP,
``dynamics/physics_simulation.py``): Blender's 35 mm lens on a 32 mm sensor, at a distance of 5 from
the origin, looking at it from 30 degrees above the floor.
"""

import math

import numpy as np

WIDTH, HEIGHT = 480, 320

FOCAL = 525.0  # 480 * 35 / 32, the same in both directions
CENTER = np.array([WIDTH / 2, HEIGHT / 2])

_COS, _SIN = math.sqrt(3) / 2, 0.5
POSITION = np.array([5 * _COS, 0.0, 5 * _SIN])
# Rows: the directions of image columns (rightward), image rows (downward), and depth.
AXES = np.array([[0.0, 1.0, 0.0], [_SIN, 0.0, -_COS], [-_COS, 0.0, -_SIN]])


def project(points: np.ndarray) -> np.ndarray:
    """Project points [..., 3] of the world: float64 [..., 2] (column, row) in pixels.

    A point that is not in front of the camera has no image and becomes NaN.
    """
    right, down, depth = np.moveaxis((np.asarray(points) - POSITION) @ AXES.T, -1, 0)
    depth = np.where(depth > 0, depth, np.nan)
    return CENTER + FOCAL * np.stack([right / depth, down / depth], axis=-1)


def rays(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Directions float64 [..., 3] from `POSITION` through points of the image.

    Their component along the depth axis is 1, so they do not have unit length: `POSITION` plus t
    times a ray has depth t.

    Args:
      columns: in pixels; broadcast with `rows` to [...].
      rows: in pixels.
    """
    across, down = np.broadcast_arrays(
        (np.asarray(columns) - CENTER[0]) / FOCAL, (np.asarray(rows) - CENTER[1]) / FOCAL
    )
    return np.stack([across, down, np.ones_like(across)], axis=-1) @ AXES
