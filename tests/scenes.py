"""Scenes of the rendered substitute, made by hand."""

import numpy as np

from stiid.data.solids.physics import Motion
from stiid.data.solids.scene import Scene
from stiid.data.view import View

CUBE, CYLINDER, SPHERE = range(3)
WHOLE = View(height=320, width=480, channels=3)


def make_scene(shapes, locations, velocities=None, *, spins=None, colors=None, materials=None):
    count = len(shapes)
    zeros = np.zeros((count, 3))
    return Scene(
        size=0.2,
        shapes=np.array(shapes),
        materials=np.array(materials or [1] * count),
        colors=np.array(colors or range(count)),
        locations=np.array(locations, float),
        rotations=np.tile(np.eye(3), (count, 1, 1)),
        velocities=zeros if velocities is None else np.array(velocities, float),
        spins=zeros if spins is None else np.array(spins, float),
    )


def still(scene, frames=1):
    """The scene as it is, without physics."""
    fields = (scene.locations, scene.rotations, scene.velocities, scene.spins)
    return Motion(*(np.repeat(field[None], frames, 0) for field in fields), [])
