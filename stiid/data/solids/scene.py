"""Spheres, cubes and cylinders on a floor: the scene at the start of a clip of "rendered".

Shapes: n objects, 3 world coordinates, which are CLEVRER's (see `clevrer.camera`). Their unit is
taken as a meter, time is in seconds, and everything is float64.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from stiid.data.clevrer import camera
from stiid.data.options import check_types

SHAPES = ("cube", "cylinder", "sphere")
MATERIALS = ("metal", "rubber")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")

FPS = 25
GRAVITY = 9.81
SLIDING = 0.06  # friction of cubes and cylinders
ROLLING = 0.01  # rolling friction of spheres, relative to the radius

# Where objects rest at the start: x, and y as a fraction of the image's half width there.
_RESTING_X, _RESTING_Y = (-1.7, 1.7), 0.65
_ENTERING_X = (-1.4, 1.4)
_MARGIN = 1.75  # sizes between the edge of the image and an entering object's center
_SPEEDS = (1.75, 3.0)  # of entering objects at that place
_LATEST = 0.4  # fraction of the clip by which the last object is at that place
_AIM = 0.6  # sizes, standard deviation of aiming at a resting object
_SPACING = 3.0  # sizes, minimum distance of two centers at the start; cubes touch at 2 sqrt(2)
_TRIALS, _RESTARTS = 64, 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneLaw:
    """Constants from which the start of a clip is sampled.

    Attributes:
      num_objects: possible numbers of objects; each clip has one of them with equal probability.
        One to three objects enter from the sides (a single object always does); the others, at
        least one, rest in view.
      size: half the extent of every object: radius, half a cube's edge, half a cylinder's height.
        CLEVRER's is 0.2.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
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
    shapes: np.ndarray  # int [n], indices in `SHAPES`
    materials: np.ndarray  # int [n], indices in `MATERIALS`
    colors: np.ndarray  # int [n], indices in `COLORS`
    locations: np.ndarray  # [n, 3] centers
    rotations: np.ndarray  # [n, 3, 3] from the object's axes to the world's
    velocities: np.ndarray  # [n, 3]
    spins: np.ndarray  # [n, 3] angular velocities about the world's axes


def draw_scene(law: SceneLaw, rng: np.random.Generator, *, frames: int) -> Scene:
    """Sample the start of one clip.

    No two objects have the same color, material and shape. Entering objects start outside of
    CLEVRER's whole frame, at the distance from which they arrive at a random time, and move towards
    a resting one.

    Args:
      law: the constants.
      rng: the clip's own generator, the only source of randomness.
      frames: T, which limits when objects may enter.

    Raises:
      ValueError: if there is not enough room for the objects.
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
    raise ValueError(f"{count} objects of size {law.size} do not fit: use fewer or smaller objects")


def _half_width(x: float) -> float:
    """Half width of the image on the floor at x."""
    depth = (np.array([x, 0.0, 0.0]) - camera.POSITION) @ camera.AXES[2]
    return float(camera.WIDTH / 2 / camera.FOCAL * depth)


def _rest(rng: np.random.Generator) -> np.ndarray:
    x = rng.uniform(*_RESTING_X)
    return np.array([x, rng.uniform(-1, 1) * _RESTING_Y * _half_width(x)])


def _enter(
    law: SceneLaw, rng: np.random.Generator, goal: np.ndarray, shape: int, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity [2] of an object that enters the image later."""
    x = rng.uniform(*_ENTERING_X)
    edge = np.array([x, rng.choice([-1, 1]) * (_half_width(x) + _MARGIN * law.size)])
    direction = (goal - edge) / np.linalg.norm(goal - edge)
    delay = rng.uniform(0, _LATEST * frames / FPS)
    rolls = SHAPES[shape] == "sphere"
    # A rolling sphere slows down as if it had 7/5 of its mass.
    slowing = (ROLLING / 1.4 if rolls else SLIDING) * GRAVITY
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
