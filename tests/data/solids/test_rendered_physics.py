"""How the objects of the rendered substitute start and move."""

import itertools

import numpy as np
import pytest
from scenes import CUBE, CYLINDER, SPHERE, WHOLE, make_scene, still

from stiid.data.clevrer import camera
from stiid.data.solids.clips import make_motion
from stiid.data.solids.physics import build, simulate
from stiid.data.solids.scene import COLORS, MATERIALS, SHAPES, SceneLaw, draw_scene
from stiid.data.solids.shading import CENTER, render

# --- the start ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes():
    law = SceneLaw()
    return [draw_scene(law, np.random.default_rng([5, i]), frames=40) for i in range(200)]


def test_starts_are_apart_different_and_as_many_as_asked(scenes):
    counts = set()
    for scene in scenes:
        counts.add(len(scene.shapes))
        kinds = set(zip(scene.shapes, scene.materials, scene.colors, strict=True))
        assert len(kinds) == len(scene.shapes)
        for one, other in itertools.combinations(scene.locations, 2):
            assert np.linalg.norm(one - other) >= 0.2 * 2 * np.sqrt(2)  # no two cubes touch
    assert counts == {3, 4, 5, 6}
    for name, values in (("shapes", SHAPES), ("materials", MATERIALS), ("colors", COLORS)):
        drawn = np.concatenate([getattr(scene, name) for scene in scenes])
        assert set(drawn) == set(range(len(values)))


def test_moving_objects_start_out_of_view_and_resting_ones_in_view(scenes):
    arriving = 0
    for scene in scenes[:60]:
        moves = scene.velocities.any(-1)
        assert 1 <= moves.sum() <= min(3, len(moves) - 1)
        pixels = camera.project(scene.locations)
        rests = pixels[~moves]
        assert ((rests > (40, 0)) & (rests < (440, 320))).all()
        _, masks = render(scene, still(scene), WHOLE, CENTER)
        seen = set(np.unique(masks)) - {0}
        assert not seen & set(np.flatnonzero(moves) + 1)
        arriving += moves.sum()
    assert arriving > 60


def test_a_full_floor_is_an_error(monkeypatch):
    law = SceneLaw(num_objects=(10,), size=0.4)
    assert len(draw_scene(law, np.random.default_rng(0), frames=40).shapes) == 10
    monkeypatch.setattr("stiid.data.solids.scene._SPACING", 5.0)
    with pytest.raises(ValueError, match=r"10 objects .* do not fit"):
        draw_scene(law, np.random.default_rng(0), frames=40)


# --- the motion ---------------------------------------------------------------------------------


def test_a_cube_slides_to_rest_as_friction_says():
    scene = make_scene([CUBE], [(0, 0, 0.2)], [(0, 1.0, 0)])
    motion = simulate(scene, frames=100)
    # v^2 / (2 mu g), with mu = 0.06
    assert motion.locations[-1, 0, 1] == pytest.approx(1 / (2 * 0.06 * 9.81), rel=0.05)
    speeds = motion.velocities[:, 0, 1]
    np.testing.assert_allclose(speeds[:35], 1 - 0.06 * 9.81 * np.arange(35) / 25, atol=0.03)
    np.testing.assert_allclose(motion.velocities[50:, 0, :2], 0, atol=1e-3)
    moved = np.diff(motion.locations[:, 0, 1]) * 25
    np.testing.assert_allclose(moved[:35], (speeds[:35] + speeds[1:36]) / 2, atol=0.02)


def test_a_sphere_rolls():
    scene = make_scene([SPHERE], [(0, 0, 0.2)], [(1.0, 2.0, 0)], spins=[(-10.0, 5.0, 0)])
    motion = simulate(scene, frames=40)
    expected = np.cross([0, 0, 1], motion.velocities[:, 0]) / 0.2
    np.testing.assert_allclose(motion.spins[:, 0, :2], expected[:, :2], atol=0.4)
    assert np.linalg.norm(motion.velocities[-1, 0]) > 2.0
    # Its rotation is the sum of its spins: follow a point of it.
    point = np.array([0.0, 0.0, 1.0])
    for t in range(10):
        angle = np.linalg.norm(motion.spins[t, 0]) / 25
        axis = motion.spins[t, 0] / np.linalg.norm(motion.spins[t, 0])
        point = (
            point * np.cos(angle)
            + np.cross(axis, point) * np.sin(angle)
            + axis * (axis @ point) * (1 - np.cos(angle))
        )
    np.testing.assert_allclose(motion.rotations[10, 0] @ [0, 0, 1], point, atol=0.1)


@pytest.mark.parametrize("shapes", [(SPHERE, SPHERE), (CUBE, SPHERE), (CYLINDER, CUBE)])
def test_a_collision_keeps_momentum_and_loses_energy(shapes):
    # In the air for a moment: no friction of the floor.
    scene = make_scene(shapes, [(0, -0.35, 3), (0, 0.35, 3)], [(0, 1.5, 0), (0, -0.5, 0)])
    motion = simulate(scene, frames=12)
    (collision,) = motion.collisions
    assert collision.objects == (0, 1)
    assert collision.frame == pytest.approx(0.3 / 2.0 * 25, abs=1.1)
    contact = motion.locations[collision.frame].mean(0)
    np.testing.assert_allclose(collision.location[:2], contact[:2], atol=0.05)
    masses = build(scene).body_mass[1:]
    volumes = {CUBE: 0.4**3, CYLINDER: np.pi * 0.2**2 * 0.4, SPHERE: 4 / 3 * np.pi * 0.2**3}
    np.testing.assert_allclose(masses, [500 * volumes[shape] for shape in shapes])
    momentum = (masses[:, None] * motion.velocities[..., :2]).sum(1)
    np.testing.assert_allclose(momentum, np.repeat(momentum[:1], 12, 0), atol=0.01 * masses.sum())
    before, after = motion.velocities[0, :, 1], motion.velocities[-1, :, 1]
    restitution = (after[1] - after[0]) / (before[0] - before[1])
    assert 0.3 < restitution < 0.9


def test_energy_never_grows_and_nothing_sinks():
    for index in range(6):
        scene, motion = make_motion(SceneLaw(), "train", index, frames=60, seed=1)
        model = build(scene)
        spins = np.einsum("tnij,tni->tnj", motion.rotations, motion.spins)  # own axes
        energy = 0.5 * (
            (model.body_mass[1:] * (motion.velocities**2).sum(-1)).sum(1)
            + (model.body_inertia[1:] * spins**2).sum((1, 2))
        ) + 9.81 * (model.body_mass[1:] * motion.locations[..., 2]).sum(1)
        assert (np.diff(energy) < 0.01 * energy[0]).all()
        assert energy[-1] < energy[0]
        assert motion.locations[..., 2].min() > 0.19
        for i, j in itertools.combinations(range(len(scene.shapes)), 2):
            gap = np.linalg.norm(motion.locations[:, i] - motion.locations[:, j], axis=-1)
            assert gap.min() > 0.35
        assert motion.collisions
        for collision in motion.collisions:
            gap = np.subtract(*motion.locations[collision.frame, list(collision.objects)])
            assert 0.35 < np.linalg.norm(gap) < 0.75


def test_one_touch_is_one_collision():
    # The first cube pushes the second one against a third.
    scene = make_scene([CUBE] * 3, [(0, -0.6, 0.2), (0, 0, 0.2), (0, 0.9, 0.2)],
                       [(0, 2.0, 0), (0, 0, 0), (0, 0, 0)])  # fmt: skip
    collisions = simulate(scene, frames=60).collisions
    assert [c.objects for c in collisions[:2]] == [(0, 1), (1, 2)]
    frames = [c.frame for c in collisions if c.objects == (0, 1)]
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(frames))
