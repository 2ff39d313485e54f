"""Lighting of the objects and the floor of a scene, and conversion of light to pixels.

Results are float32, which is precise enough for pixels of 8 bits.
"""

import numpy as np

from stiid.data.solids.scene import Scene

_FLOOR = np.array([0.55, 0.55, 0.56], np.float32)
_PALETTE = [  # CLEVR's RGB, in the order of scene.COLORS
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
# (strength, exponent) of the highlight, in the order of scene.MATERIALS.
_HIGHLIGHTS = np.array([(0.9, 40.0), (0.12, 12.0)], np.float32)

LIGHTS = np.array([(2.0, 1.5, 3.75), (1.0, -2.5, 3.0)], np.float32)  # the first one casts shadows
_INTENSITIES = (0.75, 0.25)
_AMBIENT = 0.38
_IN_SHADOW = 0.25  # fraction of the first light that reaches a shadow
_FALLOFF = 0.048  # light at distance d is divided by 1 + _FALLOFF d^2
_GAMMA = 1.15


def floor_light(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light [..., 3] that points of the floor reflect, and the part of it that a shadow removes."""
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
    """Light float32 [k, 3] that objects reflect to the camera.

    Args:
      scene: their colors and materials.
      objects: indices of the objects [k].
      points: [k, 3] where rays from the camera hit the objects.
      normals: [k, 3] of the surfaces there.
      directions: [k, 3] of the rays.
      dark: bool [k], points in the shadow of the first light; ignored where surfaces face away
        from it.
    """
    points, normals, directions = (x.astype(np.float32) for x in (points, normals, directions))
    strength, exponent = _HIGHLIGHTS[scene.materials[objects]].T
    diffuse = np.full(len(points), _AMBIENT, np.float32)
    highlight = np.zeros_like(diffuse)
    for i, lit in enumerate((np.where(dark, np.float32(_IN_SHADOW), 1), np.float32(1))):
        way = unit(points - LIGHTS[i])
        facing = -dot(normals, way)
        # Cosine between the mirrored light and the ray to the camera; 0 for light from behind.
        shine = -dot(way, directions) - 2 * facing * dot(normals, directions)
        shine = np.where(facing > 0, np.maximum(shine, 0), 0)
        diffuse += lit * _arriving(points, normals, i)
        highlight += lit * strength * _INTENSITIES[i] * shine**exponent
    return _COLORS[scene.colors[objects]] * diffuse[:, None] + highlight[:, None]


def _arriving(points: np.ndarray, normals: np.ndarray, light: int) -> np.ndarray:
    """Light float32 [...] that falls on white surfaces [..., 3] without shadows."""
    way = points - LIGHTS[light]
    square = dot(way, way)
    facing = np.maximum(-dot(normals, way), 0) / np.sqrt(square)
    arriving = 1.6 * _INTENSITIES[light] * facing / (1 + _FALLOFF * square)
    return arriving.astype(np.float32, copy=False)


def develop(light: np.ndarray) -> np.ndarray:
    """Convert light [k, S, 3] to pixels uint8 [k, 3]: mean over samples, then gamma."""
    mean = sum(np.moveaxis(light, 1, 0)[1:], start=light[:, 0]) / np.float32(light.shape[1])
    mean = mean.clip(0, 1)
    return (255 * mean ** np.float32(1 / _GAMMA) + np.float32(0.5)).astype(np.uint8)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products [...] of vectors [..., 3]."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors [..., 3] to length 1."""
    return vectors / np.sqrt(dot(vectors, vectors))[..., None]
