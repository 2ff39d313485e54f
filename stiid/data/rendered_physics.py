"""Spheres, cubes and cylinders that slide, roll and collide on a floor: the motion of "rendered".

Shapes: T frames, n objects, 3 coordinates of the world, which is CLEVRER's (see `clevrer_camera`).
Lengths are in its unit, taken as a metre, time is in seconds, and everything is float64. A frame is
1/25 s. MuJoCo moves the objects; they may tumble.
"""

import dataclasses
from typing import NamedTuple

import mujoco
import numpy as np

from stiid.data import clevrer_camera as camera
from stiid.data.options import check_types

SHAPES = ("cube", "cylinder", "sphere")
MATERIALS = ("metal", "rubber")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")

FPS = 25
_STEPS = 10  # of MuJoCo, per frame
_GRAVITY = 9.81
_GEOMS = ("box", "cylinder", "sphere")
_SLIDING = 0.06  # friction of cubes and cylinders
_ROLLING = 0.01  # of spheres: the share of the radius by which the floor's push is off center

# Where objects rest at the start: x, and y as a share of the picture's half width there.
_RESTING_X, _RESTING_Y = (-1.7, 1.7), 0.65
_ENTERING_X = (-1.4, 1.4)
_MARGIN = 1.75  # sizes between the edge of the picture and an entering object's center
_SPEEDS = (1.75, 3.0)  # of entering objects at that place
_LATEST = 0.4  # of the clip has passed when the last object gets there
_AIM = 0.6  # sizes, standard deviation of aiming at a resting object
_SPACING = 3.0  # sizes, least distance of two centers at the start; cubes touch at 2 sqrt(2)
_TRIALS, _RESTARTS = 64, 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneLaw:
    """What decides the start of a clip.

    Attributes:
        num_objects: Possible numbers of objects, drawn uniformly per clip. One to three of them
            (fewer than all, unless it is alone) enter from the sides, the others rest in view.
        size: Half the extent of every object: radius, half a cube's edge, half a cylinder's height.
            CLEVRER's is 0.2.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a value is out of range.
    """

    num_objects: tuple[int, ...] = (3, 4, 5, 6)
    size: float = 0.2

    def __post_init__(self):
        check_types(self)
        if not self.num_objects or min(self.num_objects) < 1 or max(self.num_objects) > 10:
            raise ValueError(f"num_objects must list counts from 1 to 10, got {self.num_objects}")
        if not 0.05 <= self.size <= 0.4:
            raise ValueError(f"size must be between 0.05 and 0.4, got {self.size}")

    @property
    def max_objects(self) -> int:
        """The largest number of objects n."""
        return max(self.num_objects)


class Scene(NamedTuple):
    """The objects of a clip at its start."""

    size: float
    shapes: np.ndarray  # int [n], places in `SHAPES`
    materials: np.ndarray  # int [n], places in `MATERIALS`
    colors: np.ndarray  # int [n], places in `COLORS`
    locations: np.ndarray  # [n, 3] centers
    rotations: np.ndarray  # [n, 3, 3] from the object's axes to the world's
    velocities: np.ndarray  # [n, 3]
    spins: np.ndarray  # [n, 3] angular velocities about the world's axes


class Collision(NamedTuple):
    """Two objects touch that did not touch in the frame before."""

    frame: int
    objects: tuple[int, int]
    location: np.ndarray  # [3]


class Motion(NamedTuple):
    """What `simulate` records, at the start of every frame."""

    locations: np.ndarray  # [T, n, 3]
    rotations: np.ndarray  # [T, n, 3, 3]
    velocities: np.ndarray  # [T, n, 3]
    spins: np.ndarray  # [T, n, 3]
    collisions: list[Collision]


def draw_scene(law: SceneLaw, rng: np.random.Generator, *, frames: int) -> Scene:
    """Draws the start of one clip.

    No two objects share color, material and shape. Entering objects start outside of CLEVRER's
    whole picture, as far away as they need to arrive at a random time, and head for a resting one.

    Args:
        law: The constants.
        rng: The clip's own generator; nothing else decides the outcome.
        frames: T, which decides when objects may enter.

    Raises:
        ValueError: If the objects find no place.
    """
    count = int(rng.choice(law.num_objects))
    kinds = rng.choice(len(COLORS) * len(MATERIALS) * len(SHAPES), size=count, replace=False)
    colors, kinds = np.divmod(kinds, len(MATERIALS) * len(SHAPES))
    materials, shapes = np.divmod(kinds, len(SHAPES))
    entering = int(rng.integers(1, min(3, max(1, count - 1)) + 1))
    for _ in range(_RESTARTS):
        places, velocities = np.zeros((2, count, 2))
        placed = 0
        for _ in range(_TRIALS * count):
            if placed < count - entering:
                place, velocity = _rest(rng), np.zeros(2)
            else:
                goals = places[: count - entering] if entering < count else np.zeros((1, 2))
                goal = rng.choice(goals) + rng.normal(size=2) * _AIM * law.size
                place, velocity = _enter(law, rng, goal, int(shapes[placed]), frames)
            gaps = np.linalg.norm(places[:placed] - place, axis=-1)
            if (gaps >= _SPACING * law.size).all():
                places[placed], velocities[placed] = place, velocity
                placed += 1
            if placed == count:
                return _scene(law, rng, (shapes, materials, colors), places, velocities)
    raise ValueError(
        f"{count} objects of size {law.size} found no place: use fewer or smaller objects"
    )


def _half_width(x: float) -> float:
    """Of the picture, on the floor."""
    depth = (np.array([x, 0.0, 0.0]) - camera.POSITION) @ camera.AXES[2]
    return float(camera.WIDTH / 2 / camera.FOCAL * depth)


def _rest(rng: np.random.Generator) -> np.ndarray:
    x = rng.uniform(*_RESTING_X)
    return np.array([x, rng.uniform(-1, 1) * _RESTING_Y * _half_width(x)])


def _enter(
    law: SceneLaw, rng: np.random.Generator, goal: np.ndarray, shape: int, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Place and velocity [2] of an object that comes into view later."""
    x = rng.uniform(*_ENTERING_X)
    edge = np.array([x, rng.choice([-1, 1]) * (_half_width(x) + _MARGIN * law.size)])
    direction = (goal - edge) / np.linalg.norm(goal - edge)
    delay = rng.uniform(0, _LATEST * frames / FPS)
    rolls = SHAPES[shape] == "sphere"
    # A rolling sphere has 7/5 of its mass to slow down.
    slowing = (_ROLLING / 1.4 if rolls else _SLIDING) * _GRAVITY
    speed = rng.uniform(*_SPEEDS)
    way = speed * delay + slowing * delay**2 / 2
    return edge - way * direction, (speed + slowing * delay) * direction


def _scene(
    law: SceneLaw,
    rng: np.random.Generator,
    kinds: tuple[np.ndarray, np.ndarray, np.ndarray],
    places: np.ndarray,
    velocities: np.ndarray,
) -> Scene:
    count = len(places)
    angles = rng.uniform(0, np.pi / 2, count)
    rotations = np.zeros((count, 3, 3))
    rotations[:, 0, 0] = rotations[:, 1, 1] = np.cos(angles)
    rotations[:, 1, 0] = np.sin(angles)
    rotations[:, 0, 1] = -rotations[:, 1, 0]
    rotations[:, 2, 2] = 1
    moving = np.pad(velocities, [(0, 0), (0, 1)])
    spins = np.zeros((count, 3))
    rolls = kinds[0] == SHAPES.index("sphere")
    spins[rolls] = np.cross([0.0, 0.0, 1.0], moving[rolls]) / law.size  # rolls without slipping
    locations = np.pad(places, [(0, 0), (0, 1)], constant_values=law.size)
    return Scene(law.size, *kinds, locations, rotations, moving, spins)


def build(scene: Scene) -> mujoco.MjModel:
    """The scene as MuJoCo sees it: geom 0 is the floor, geom k + 1 object k."""
    size = scene.size
    objects = "".join(
        f'<body pos="0 0 {10 * k + 10}"><freejoint/><geom type="{_GEOMS[shape]}" '
        f'size="{" ".join([repr(size)] * 3)}" friction="{_friction(shape, size)}"/></body>'
        for k, shape in enumerate(scene.shapes)
    )
    # solref: direct stiffness and damping; two spheres part with about half their speed.
    return mujoco.MjModel.from_xml_string(f"""
        <mujoco>
          <option timestep="{1 / FPS / _STEPS!r}" integrator="implicitfast"
            gravity="0 0 {-_GRAVITY!r}"/>
          <default>
            <geom density="500" condim="6" priority="1" solref="-8000 -40"/>
          </default>
          <worldbody>
            <geom type="plane" size="30 30 0.1" priority="0"/>
            {objects}
          </worldbody>
        </mujoco>""")


def _friction(shape: int, size: float) -> str:
    """Sliding, about the contact's normal, and rolling; the last two are lengths."""
    if SHAPES[shape] == "sphere":
        return f"0.25 {0.025 * size!r} {_ROLLING * size!r}"
    return f"{_SLIDING!r} {0.0125 * size!r} {0.00025 * size!r}"


def place(
    model: mujoco.MjModel, data: mujoco.MjData, locations: np.ndarray, rotations: np.ndarray
) -> None:
    """Puts the objects of a scene at locations [n, 3] with rotations [n, 3, 3]."""
    poses = data.qpos.reshape(-1, 7)  # a view
    poses[:, :3] = locations
    for pose, rotation in zip(poses, rotations, strict=True):
        mujoco.mju_mat2Quat(pose[3:], rotation.ravel())
    mujoco.mj_kinematics(model, data)


def simulate(scene: Scene, *, frames: int) -> Motion:
    """Moves the objects for `frames` frames, frame 0 being the start itself."""
    model = build(scene)
    data = mujoco.MjData(model)
    count = len(scene.shapes)
    place(model, data, scene.locations, scene.rotations)
    speeds = data.qvel.reshape(count, 6)  # a view
    speeds[:, :3] = scene.velocities
    # MuJoCo's angular velocities are about the object's axes.
    speeds[:, 3:] = np.einsum("nij,ni->nj", scene.rotations, scene.spins)
    mujoco.mj_forward(model, data)

    locations, velocities, spins = np.zeros((3, frames, count, 3))
    motion = Motion(locations, np.zeros((frames, count, 3, 3)), velocities, spins, [])
    last_touch: dict[tuple[int, int], int] = {}
    for frame in range(frames):
        rotations = data.geom_xmat[1:].reshape(count, 3, 3)
        motion.locations[frame], motion.rotations[frame] = data.geom_xpos[1:], rotations
        motion.velocities[frame] = speeds[:, :3]
        motion.spins[frame] = np.einsum("nij,nj->ni", rotations, speeds[:, 3:])
        for _ in range(_STEPS):
            mujoco.mj_step(model, data)
            _note_collisions(data, frame + 1, last_touch, motion.collisions)
        mujoco.mj_kinematics(model, data)  # mj_step leaves the poses of its start
    return motion._replace(collisions=[c for c in motion.collisions if c.frame < frames])


def _note_collisions(
    data: mujoco.MjData,
    frame: int,
    last_touch: dict[tuple[int, int], int],
    collisions: list[Collision],
) -> None:
    """Appends the touches that lead to the state of `frame`."""
    for i, geoms in enumerate(data.contact.geom.tolist()):
        if min(geoms) > 0:  # not the floor
            pair = (min(geoms) - 1, max(geoms) - 1)
            if frame - last_touch.get(pair, -2) > 1:
                collisions.append(Collision(frame, pair, data.contact.pos[i].copy()))
            last_touch[pair] = frame
