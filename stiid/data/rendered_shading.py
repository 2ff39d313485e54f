"""Pictures and exact masks of a scene through CLEVRER's camera: rays by MuJoCo, light by NumPy.

Shapes: P pixels of a picture, row by row, S samples per pixel. Of the rays, only those are cast
that may meet an object or its shadow; all others show the empty floor, which is lit once.
"""

import functools
from typing import NamedTuple

import mujoco
import numpy as np

from stiid.data import clevrer_camera as camera
from stiid.data.rendered_physics import Motion, Scene, build, place
from stiid.data.view import View

# Of a pixel: the four quarters, and the center, whose object is the pixel's id.
SMOOTH = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.5))
CENTER = ((0.5, 0.5),)

_FLOOR = np.array([0.55, 0.55, 0.56], np.float32)
_COLORS = (
    np.array(  # of CLEVR, in the order of rendered_physics.COLORS
        [
            (87, 87, 87),
            (173, 35, 35),
            (42, 75, 215),
            (29, 105, 20),
            (129, 74, 25),
            (129, 38, 192),
            (41, 208, 208),
            (255, 238, 51),
        ]
    ).astype(np.float32)
    / 255
)
# (strength, exponent) of the highlight, in the order of rendered_physics.MATERIALS.
_HIGHLIGHTS = np.array([(0.9, 40.0), (0.12, 12.0)], np.float32)

_LIGHTS = np.array([(2.0, 1.5, 3.75), (1.0, -2.5, 3.0)])  # the first one casts shadows
_INTENSITIES = (0.75, 0.25)
_AMBIENT = 0.38
_IN_SHADOW = 0.25  # share of the first light that gets there
_FALLOFF = 0.048  # light at distance d is divided by 1 + _FALLOFF d^2
_GAMMA = 1.15
_FAR = 100.0
_SLACK = 1.02  # of the spheres around objects that decide which rays are cast
_BIAS = 1e-3  # an object this much nearer to the light casts a shadow


class Rays(NamedTuple):
    """What a view shows of the empty world. Directions are of unit length."""

    directions: np.ndarray  # [P, S, 3] from the camera
    floor: np.ndarray  # [P, S, 3] where they meet the floor
    light: np.ndarray  # float32 [P, S, 3] that comes back from there
    shadow: np.ndarray  # float32 [P, S, 3], what of it is missing in a shadow
    # Of the last sample of each pixel: directions from the camera and from the first light to the
    # floor, float32 [3, P], and the greatest angle between them and the pixel's other samples'.
    from_camera: tuple[np.ndarray, float]
    from_light: tuple[np.ndarray, float]


@functools.lru_cache(maxsize=4)
def cast_view(view: View, samples: tuple[tuple[float, float], ...]) -> Rays:
    """The rays of a view.

    Args:
        view: How CLEVRER's 480x320 pictures become frames.
        samples: (x, y) in 0..1 within each pixel. The last one decides the pixel's id.
    """
    left, top, _, _ = view.window(camera.HEIGHT, camera.WIDTH)
    scale = view.scale(camera.HEIGHT, camera.WIDTH)
    x, y = np.array(samples).T
    columns = left + scale[0] * (np.arange(view.width)[:, None] + x)  # [width, S]
    rows = top + scale[1] * (np.arange(view.height)[:, None, None] + y)  # [height, 1, S]
    directions = _unit(camera.rays(columns, rows).reshape(-1, len(samples), 3))
    floor = camera.POSITION - directions * (camera.POSITION[2] / directions[..., 2:])
    up = np.array([0.0, 0.0, 1.0])
    first, second = (_arriving(floor, up, light)[..., None] for light in range(2))
    return Rays(
        directions,
        floor,
        light=_FLOOR * (_AMBIENT + first + second),
        shadow=_FLOOR * ((1 - _IN_SHADOW) * first),
        from_camera=_cones(directions),
        from_light=_cones(_unit(floor - _LIGHTS[0])),
    )


def render(
    scene: Scene,
    motion: Motion,
    view: View,
    samples: tuple[tuple[float, float], ...] = SMOOTH,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws every frame of a motion.

    Args:
        scene: What the objects are.
        motion: Where they are.
        view: How CLEVRER's 480x320 pictures become frames.
        samples: See `cast_view`.

    Returns:
        Video uint8 [T, H, W, 3] and masks uint8 [T, H, W]: k + 1 where the ray through the pixel's
        last sample meets object k first, 0 where it meets the floor.
    """
    rays = cast_view(view, samples)
    model = build(scene)
    data = mujoco.MjData(model)
    frames = len(motion.locations)
    video = np.repeat(_develop(rays.light)[None], frames, axis=0)
    masks = np.zeros(video.shape[:2], np.uint8)
    radii = model.geom_rbound[1:] * _SLACK
    samples_of = np.arange(rays.floor.size // 3).reshape(-1, len(samples))
    for t in range(frames):
        centers = motion.locations[t]
        place(model, data, centers, motion.rotations[t])
        may_meet = _near(rays.from_camera, centers - camera.POSITION, radii)
        may_darken = _near(rays.from_light, centers - _LIGHTS[0], radii)
        near = np.flatnonzero(may_meet | may_darken)

        # Samples are counted along P and S from here on; `chosen` are those of the pixels `near`.
        chosen = samples_of[near].ravel()
        directions = _rows(rays.directions, samples_of[may_meet].ravel())
        met, distances, normals = _cast(model, data, camera.POSITION, directions)
        hit = np.flatnonzero(met >= 0)
        ids = np.zeros((len(near), len(samples)), np.uint8)
        ids[may_meet[near]] = np.maximum(met, 0).reshape(-1, len(samples))
        on_object = np.flatnonzero(ids)
        on_floor = np.flatnonzero(may_darken[near, None] & (ids == 0))
        met, directions, normals = met[hit] - 1, _rows(directions, hit), _rows(normals, hit)
        points = camera.POSITION + directions * distances[hit, None]
        floor = chosen[on_floor]
        dark = _in_shadow(model, data, np.concatenate([points, _rows(rays.floor, floor)]))
        light = _rows(rays.light, chosen)
        light[on_object] = _light(scene, met, points, normals, directions, dark[: len(points)])
        dark_floor = np.flatnonzero(dark[len(points) :])
        light[on_floor[dark_floor]] -= _rows(rays.shadow, floor[dark_floor])
        video[t, near] = _develop(light.reshape(-1, len(samples), 3))
        masks[t, near] = ids[:, -1]
    shape = (frames, view.height, view.width)
    return video.reshape(*shape, 3), masks.reshape(shape)


def _near(cones: tuple[np.ndarray, float], centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Pixels, bool [P], of which a sample may meet a sphere; the rays start at the origin."""
    (x, y, z), spread = cones
    near = np.zeros(len(x), bool)
    for center, radius in zip(centers, radii, strict=True):
        distance = np.sqrt((center**2).sum())
        cosine = np.float32(np.cos(np.arcsin(min(1.0, radius / distance)) + spread) - 1e-6)
        u, v, w = (center / distance).astype(np.float32)
        near |= x * u + y * v + z * w > cosine
    return near


def _cast(
    model: mujoco.MjModel, data: mujoco.MjData, origin: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first objects along unit directions [..., 3]: geoms (-1: none), distances, normals."""
    shape = directions.shape[:-1]
    geoms = np.empty(shape, np.int32)
    distances, normals = np.empty(shape), np.empty(directions.shape)
    mujoco.mj_multiRay(
        model,
        data,
        origin,
        directions.ravel(),
        None,  # all groups of geoms
        False,  # but not the floor
        -1,  # no body left out
        geoms.reshape(-1),
        distances.reshape(-1),
        normals.reshape(-1),
        geoms.size,
        _FAR,
    )
    return geoms, distances, normals


def _in_shadow(model: mujoco.MjModel, data: mujoco.MjData, points: np.ndarray) -> np.ndarray:
    """Whether the first light does not reach points [k, 3]."""
    way = points - _LIGHTS[0]
    length = np.sqrt(_dot(way, way))
    _, reach, _ = _cast(model, data, _LIGHTS[0], way / length[:, None])
    return (reach >= 0) & (reach < length - _BIAS)


def _light(
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
        dark: [k], in the shadow of the first light.
    """
    strength, exponent = _HIGHLIGHTS[scene.materials[objects]].T
    diffuse = np.full(len(points), _AMBIENT, np.float32)
    highlight = np.zeros_like(diffuse)
    for i, lit in enumerate((np.where(dark, np.float32(_IN_SHADOW), 1), np.float32(1))):
        way = _unit(points - _LIGHTS[i])
        mirrored = way - 2 * _dot(normals, way)[:, None] * normals
        shine = np.maximum(-_dot(mirrored, directions), 0).astype(np.float32)
        diffuse += lit * _arriving(points, normals, i)
        highlight += lit * strength * _INTENSITIES[i] * shine**exponent
    return _COLORS[scene.colors[objects]] * diffuse[:, None] + highlight[:, None]


def _arriving(points: np.ndarray, normals: np.ndarray, light: int) -> np.ndarray:
    """Light float32 [...] that falls on white surfaces [..., 3], if nothing is in the way."""
    way = points - _LIGHTS[light]
    square = _dot(way, way)
    facing = np.maximum(-_dot(normals, way), 0) / np.sqrt(square)
    return (1.6 * _INTENSITIES[light] * facing / (1 + _FALLOFF * square)).astype(np.float32)


def _develop(light: np.ndarray) -> np.ndarray:
    """Light [k, S, 3] to pixels uint8 [k, 3]."""
    mean = sum(np.moveaxis(light, 1, 0)[1:], start=light[:, 0]) / np.float32(light.shape[1])
    mean = mean.clip(0, 1)
    return (255 * mean ** np.float32(1 / _GAMMA) + np.float32(0.5)).astype(np.uint8)


def _rows(vectors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Some of the vectors [..., 3], counted along all axes but the last: [k, 3]."""
    return vectors.reshape(-1, 3).take(places, axis=0)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt(_dot(vectors, vectors))[..., None]


def _cones(directions: np.ndarray) -> tuple[np.ndarray, float]:
    """From unit directions [P, S, 3]: see `Rays`."""
    last = directions[:, -1:]
    spread = float(np.arccos(_dot(directions, last).min().clip(-1, 1)))
    return last[:, 0].T.astype(np.float32).copy(), spread
