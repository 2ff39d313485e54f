"""The light on the objects and the floor of a scene, and the film that it falls on.

Results are float32: they end as one of 256 steps.
"""

import numpy as np

from stiid.data.solids.scene import Scene

_FLOOR = np.array([0.55, 0.55, 0.56], np.float32)
_PALETTE = [  # CLEVR's RGB, in the order of rendered_scene.COLORS
    (87, 87, 87),
    (173, 35, 35),
    (42, 75, 215),
    (29, 105, 20),
    (129, 74, 25),
    (129, 38, 192),
    (41, 208, 208),
    (255, 238, 51),
]
_COLORS = np.array(_PALETTE, np.float32) / 255
# (strength, exponent) of the highlight, in the order of rendered_scene.MATERIALS.
_HIGHLIGHTS = np.array([(0.9, 40.0), (0.12, 12.0)], np.float32)

LIGHTS = np.array([(2.0, 1.5, 3.75), (1.0, -2.5, 3.0)], np.float32)  # the first one casts shadows
_INTENSITIES = (0.75, 0.25)
_AMBIENT = 0.38
_IN_SHADOW = 0.25  # share of the first light that gets there
_FALLOFF = 0.048  # light at distance d is divided by 1 + _FALLOFF d^2
_GAMMA = 1.15


def floor_light(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light [..., 3] that comes back from points of the floor, and what a shadow takes of it."""
    up = np.array([0.0, 0.0, 1.0])
    first, second = (_arriving(points, up, light)[..., None] for light in range(2))
    return _FLOOR * (_AMBIENT + first + second), _FLOOR * ((1 - _IN_SHADOW) * first)


def object_light(
    scene: Scene,
    objects: np.ndarray,
    points: np.ndarray,
    normals: np.ndarray,
    directions: np.ndarray,
    dark: np.ndarray,
) -> np.ndarray:
    """Light float32 [k, 3] that comes back from objects.

    Args:
        scene: Their colors and materials.
        objects: [k], which one.
        points, normals, directions: [k, 3]; the camera's rays end at the points.
        dark: [k], in the shadow of the first light; not asked where they face away from it.
    """
    points, normals, directions = (x.astype(np.float32) for x in (points, normals, directions))
    strength, exponent = _HIGHLIGHTS[scene.materials[objects]].T
    diffuse = np.full(len(points), _AMBIENT, np.float32)
    highlight = np.zeros_like(diffuse)
    for i, lit in enumerate((np.where(dark, np.float32(_IN_SHADOW), 1), np.float32(1))):
        way = unit(points - LIGHTS[i])
        facing = -dot(normals, way)
        # Towards the camera, of light that is mirrored; none from behind.
        shine = -dot(way, directions) - 2 * facing * dot(normals, directions)
        shine = np.where(facing > 0, np.maximum(shine, 0), 0)
        diffuse += lit * _arriving(points, normals, i)
        highlight += lit * strength * _INTENSITIES[i] * shine**exponent
    return _COLORS[scene.colors[objects]] * diffuse[:, None] + highlight[:, None]


def _arriving(points: np.ndarray, normals: np.ndarray, light: int) -> np.ndarray:
    """Light float32 [...] that falls on white surfaces [..., 3], if nothing is in the way."""
    way = points - LIGHTS[light]
    square = dot(way, way)
    facing = np.maximum(-dot(normals, way), 0) / np.sqrt(square)
    arriving = 1.6 * _INTENSITIES[light] * facing / (1 + _FALLOFF * square)
    return arriving.astype(np.float32, copy=False)


def develop(light: np.ndarray) -> np.ndarray:
    """Light [k, S, 3] to pixels uint8 [k, 3]."""
    mean = sum(np.moveaxis(light, 1, 0)[1:], start=light[:, 0]) / np.float32(light.shape[1])
    mean = mean.clip(0, 1)
    return (255 * mean ** np.float32(1 / _GAMMA) + np.float32(0.5)).astype(np.uint8)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products [...] of vectors [..., 3]."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] of length 1."""
    return vectors / np.sqrt(dot(vectors, vectors))[..., None]
