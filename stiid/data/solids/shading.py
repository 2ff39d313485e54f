"""Images and exact masks of a scene through CLEVRER's camera, by MuJoCo's ray casting.

Shapes: P pixels of an image, row by row, and S samples per pixel. The last sample gives the pixel's
id; the C others (or the last one, if it is the only one) give its color. Only rays that may hit an
object or its shadow are cast; all others show the empty floor, whose light is computed once.
"""

import functools
from typing import NamedTuple

import mujoco
import numpy as np

from stiid.data.clevrer import camera
from stiid.data.solids.light import LIGHTS, develop, dot, floor_light, object_light, unit
from stiid.data.solids.physics import Motion, build, place
from stiid.data.solids.scene import Scene
from stiid.data.view import View

# (x, y) in 0..1 within each pixel.
SMOOTH = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.5))
CENTER = ((0.5, 0.5),)

_FAR = 100.0
_SLACK = 1.001  # factor on the bounding spheres that decide which rays are cast
_BIAS = 1e-3  # an object casts a shadow on points that are farther from the light by this


class Rays(NamedTuple):
    """The rays of a view and the empty floor. Directions have unit length."""

    directions: np.ndarray  # [P, S, 3] from the camera
    floor: np.ndarray  # [P, C, 3] where the rays hit the floor
    light: np.ndarray  # float32 [P, C, 3] that the floor reflects there
    shadow: np.ndarray  # float32 [P, C, 3], the part of that light which is missing in a shadow
    # For the last sample of each pixel: directions from the camera and from the first light to the
    # floor, float32 [3, P], and the largest angle between them and those of the other samples.
    from_camera: tuple[np.ndarray, float]
    from_light: tuple[np.ndarray, float]


@functools.lru_cache(maxsize=4)
def cast_view(view: View, samples: tuple[tuple[float, float], ...]) -> Rays:
    """Compute the rays of a view.

    Args:
      view: how CLEVRER's 480x320 frames are cropped and scaled.
      samples: positions within each pixel, such as `SMOOTH`.
    """
    left, top, _, _ = view.window(camera.HEIGHT, camera.WIDTH)
    scale = view.scale(camera.HEIGHT, camera.WIDTH)
    x, y = np.array(samples).T
    columns = left + scale[0] * (np.arange(view.width)[:, None] + x)  # [width, S]
    rows = top + scale[1] * (np.arange(view.height)[:, None, None] + y)  # [height, 1, S]
    directions = unit(camera.rays(columns, rows).reshape(-1, len(samples), 3))
    floor = camera.POSITION - directions * (camera.POSITION[2] / directions[..., 2:])
    colored = np.ascontiguousarray(floor[:, : len(samples) - 1 or 1])
    light, shadow = floor_light(colored)
    return Rays(
        directions,
        colored,
        light,
        shadow,
        from_camera=_cones(directions),
        from_light=_cones(unit(floor - LIGHTS[0])),
    )


def render(
    scene: Scene,
    motion: Motion,
    view: View,
    samples: tuple[tuple[float, float], ...] = SMOOTH,
) -> tuple[np.ndarray, np.ndarray]:
    """Render every frame of a motion.

    Args:
      scene: shapes, materials and colors of the objects.
      motion: their poses.
      view: how CLEVRER's 480x320 frames are cropped and scaled.
      samples: see `cast_view`.

    Returns:
      Video uint8 [T, H, W, 3] and masks uint8 [T, H, W]: k + 1 where the ray through the pixel's
      last sample hits object k first, 0 where it hits the floor.
    """
    rays = cast_view(view, samples)
    model = build(scene)
    data = mujoco.MjData(model)
    frames = len(motion.locations)
    video = np.repeat(develop(rays.light)[None], frames, axis=0)
    masks = np.zeros(video.shape[:2], np.uint8)
    for t in range(frames):
        place(model, data, motion.locations[t], motion.rotations[t])
        near, pixels, ids = _render_frame(scene, model, data, rays)
        video[t, near], masks[t, near] = pixels, ids
    shape = (frames, view.height, view.width)
    return video.reshape(*shape, 3), masks.reshape(shape)


def _render_frame(
    scene: Scene, model: mujoco.MjModel, data: mujoco.MjData, rays: Rays
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the k pixels that may differ from the floor, their RGB [k, 3] and their ids."""
    centers, radii = data.geom_xpos[1:], model.geom_rbound[1:] * _SLACK
    may_meet = _near(rays.from_camera, centers - camera.POSITION, radii)
    may_darken = _near(rays.from_light, centers - LIGHTS[0], radii)
    near = np.flatnonzero(may_meet | may_darken)
    samples, colored = rays.directions.shape[1], rays.light.shape[1]

    directions = rays.directions[may_meet]
    met, distances, normals = _cast(model, data, camera.POSITION, directions)
    ids = np.zeros((len(near), samples), np.uint8)
    ids[may_meet[near]] = np.maximum(met, 0)

    # Color samples: indices among the samples that were cast, then among those of `near`.
    met = met[:, :colored]
    hit = np.arange(len(met) * samples).reshape(-1, samples)[:, :colored][met >= 0]
    objects = met[met >= 0] - 1
    directions, normals = _rows(directions, hit), _rows(normals, hit)
    points = camera.POSITION + directions * distances.ravel()[hit, None]
    on_object = np.flatnonzero(ids[:, :colored])
    on_floor = np.flatnonzero(may_darken[near, None] & (ids[:, :colored] == 0))
    chosen = np.arange(rays.floor.size // 3).reshape(-1, colored)[near].ravel()  # among P and C
    floor = chosen[on_floor]

    # A convex object casts no shadow on its own side that faces the light.
    lit = _may_be_shaded(centers - LIGHTS[0], radii)[objects]
    lit &= dot(normals, points - LIGHTS[0]) < 0
    asked = np.flatnonzero(lit)
    answers = _in_shadow(
        model, data, np.concatenate([_rows(points, asked), _rows(rays.floor, floor)])
    )
    dark = np.zeros(len(points), bool)
    dark[asked] = answers[: len(asked)]
    light = _rows(rays.light, chosen)
    light[on_object] = object_light(scene, objects, points, normals, directions, dark)
    dark_floor = np.flatnonzero(answers[len(asked) :])
    light[on_floor[dark_floor]] -= _rows(rays.shadow, floor[dark_floor])
    return near, develop(light.reshape(-1, colored, 3)), ids[:, -1]


def _near(cones: tuple[np.ndarray, float], centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Whether a sample of a pixel may hit a sphere, bool [P]; the rays start at the origin."""
    (x, y, z), spread = cones
    near = np.zeros(len(x), bool)
    for center, radius in zip(centers, radii, strict=True):
        distance = np.sqrt((center**2).sum())
        cosine = np.float32(np.cos(np.arcsin(min(1.0, radius / distance)) + spread) - 1e-6)
        u, v, w = (center / distance).astype(np.float32)
        near |= x * u + y * v + z * w > cosine
    return near


def _may_be_shaded(centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Whether spheres overlap with another one as seen from the origin, bool [n]."""
    distances = np.sqrt(dot(centers, centers))
    angles = np.arcsin(np.minimum(1, radii / distances))
    cosines = dot(centers[:, None], centers) / (distances[:, None] * distances)
    overlap = np.arccos(cosines.clip(-1, 1)) < angles[:, None] + angles
    return overlap.sum(1) > 1  # each overlaps with itself


def _cast(
    model: mujoco.MjModel, data: mujoco.MjData, origin: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cast rays along unit directions [..., 3]: geoms (-1: no object), distances, normals."""
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
    way = points - LIGHTS[0]
    length = np.sqrt(dot(way, way))
    _, reach, _ = _cast(model, data, LIGHTS[0], way / length[:, None])
    return (reach >= 0) & (reach < length - _BIAS)


def _rows(vectors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Select vectors of [..., 3] by flat indices over all axes but the last: [k, 3]."""
    return vectors.reshape(-1, 3).take(places, axis=0)


def _cones(directions: np.ndarray) -> tuple[np.ndarray, float]:
    """Cones around unit directions [P, S, 3], as `Rays` has them."""
    last = directions[:, -1:]
    spread = float(np.arccos(dot(directions, last).min().clip(-1, 1)))
    return last[:, 0].T.astype(np.float32).copy(), spread
