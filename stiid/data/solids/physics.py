"""Motion of the objects of a scene, by MuJoCo: they roll, collide and tumble.

Shapes and units are those of `scene`; T is the number of frames, each of 1/25 s.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from stiid.data.solids.scene import FPS, GRAVITY, ROLLING, SHAPES, SLIDING, Scene

_STEPS = 10  # of MuJoCo, per frame
_GEOMS = ("box", "cylinder", "sphere")  # in the order of SHAPES


class Collision(NamedTuple):
    """Contact of two objects that did not touch in the previous frame."""

    frame: int
    objects: tuple[int, int]
    location: np.ndarray  # [3]


class Motion(NamedTuple):
    """State of all objects at the start of every frame, and their collisions."""

    locations: np.ndarray  # [T, n, 3]
    rotations: np.ndarray  # [T, n, 3, 3]
    velocities: np.ndarray  # [T, n, 3]
    spins: np.ndarray  # [T, n, 3]
    collisions: list[Collision]


def build(scene: Scene) -> mujoco.MjModel:
    """Build MuJoCo's model of a scene: geom 0 is the floor, geom k + 1 object k."""
    size = scene.size
    objects = "".join(
        f'<body pos="0 0 {10 * k + 10}"><freejoint/><geom type="{_GEOMS[shape]}" '
        f'size="{" ".join([repr(size)] * 3)}" friction="{_friction(shape, size)}"/></body>'
        for k, shape in enumerate(scene.shapes)
    )
    # solref: direct stiffness and damping; two spheres separate with about half their speed.
    return mujoco.MjModel.from_xml_string(f"""
        <mujoco>
          <option timestep="{1 / FPS / _STEPS!r}" integrator="implicitfast"
            gravity="0 0 {-GRAVITY!r}"/>
          <default>
            <geom density="500" condim="6" priority="1" solref="-8000 -40"/>
          </default>
          <worldbody>
            <geom type="plane" size="30 30 0.1" priority="0"/>
            {objects}
          </worldbody>
        </mujoco>""")


def _friction(shape: int, size: float) -> str:
    """MuJoCo's friction: sliding, torsional and rolling; the last two are lengths."""
    if SHAPES[shape] == "sphere":
        return f"0.25 {0.025 * size!r} {ROLLING * size!r}"
    return f"{SLIDING!r} {0.0125 * size!r} {0.00025 * size!r}"


def place(
    model: mujoco.MjModel, data: mujoco.MjData, locations: np.ndarray, rotations: np.ndarray
) -> None:
    """Place the objects of a scene at locations [n, 3] with rotations [n, 3, 3]."""
    poses = data.qpos.reshape(-1, 7)  # a view
    poses[:, :3] = locations
    for pose, rotation in zip(poses, rotations, strict=True):
        mujoco.mju_mat2Quat(pose[3:], rotation.ravel())
    mujoco.mj_kinematics(model, data)


def simulate(scene: Scene, *, frames: int) -> Motion:
    """Simulate the objects for `frames` frames; frame 0 is the start itself."""
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
        mujoco.mj_kinematics(model, data)  # after mj_step, poses are those before the step
    return motion._replace(collisions=[c for c in motion.collisions if c.frame < frames])


def _note_collisions(
    data: mujoco.MjData,
    frame: int,
    last_touch: dict[tuple[int, int], int],
    collisions: list[Collision],
) -> None:
    """Append the contacts that begin in the step before `frame`."""
    for i, geoms in enumerate(data.contact.geom.tolist()):
        if min(geoms) > 0:  # not the floor
            pair = (min(geoms) - 1, max(geoms) - 1)
            if frame - last_touch.get(pair, -2) > 1:
                collisions.append(Collision(frame, pair, data.contact.pos[i].copy()))
            last_touch[pair] = frame
