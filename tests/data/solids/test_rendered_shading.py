"""Images and masks of the rendered substitute."""

import mujoco
import numpy as np
import pytest
from scenes import SPHERE, WHOLE, make_scene, still

from stiid.data.clevrer import camera
from stiid.data.solids import shading
from stiid.data.solids.clips import RenderedSpec, clips, make_motion
from stiid.data.solids.physics import build, place
from stiid.data.solids.scene import SceneLaw
from stiid.data.solids.shading import CENTER, SMOOTH, render

PAPER = RenderedSpec().view


def all_rays(scene, motion, view):
    """Ids [T, H, W], every ray cast, one by one, at everything."""
    left, top, right, bottom = view.window(320, 480)
    columns = left + (np.arange(view.width) + 0.5) * (right - left) / view.width
    rows = top + (np.arange(view.height) + 0.5) * (bottom - top) / view.height
    directions = camera.rays(columns, rows[:, None])
    model = build(scene)
    data = mujoco.MjData(model)
    ids = np.zeros((len(motion.locations), view.height, view.width), np.uint8)
    geom = np.zeros(1, np.int32)
    for t in range(len(ids)):
        place(model, data, motion.locations[t], motion.rotations[t])
        for at in np.ndindex(ids.shape[1:]):
            vector = directions[at] / np.linalg.norm(directions[at])
            mujoco.mj_ray(model, data, camera.POSITION, vector, None, 1, -1, geom, None)
            ids[(t, *at)] = geom[0]
    return ids


def test_masks_are_what_all_rays_meet():
    scene, motion = make_motion(SceneLaw(num_objects=(6,)), "train", 0, frames=40, seed=0)
    # Two frames, of which one has tumbling objects anywhere in the air.
    rotations = motion.rotations[[0, 39]]
    rng = np.random.default_rng(0)
    random, _ = np.linalg.qr(rng.normal(size=(6, 3, 3)))
    rotations[1] = random * np.linalg.det(random)[:, None, None]
    locations = motion.locations[[0, 39]]
    locations[1] = rng.uniform((-1, -1, 0.4), (1, 1, 1), (6, 3))
    motion = motion._replace(locations=locations, rotations=rotations)
    video, masks = render(scene, motion, PAPER)
    expected = all_rays(scene, motion, PAPER)
    assert len(np.unique(expected)) == 7
    np.testing.assert_array_equal(masks, expected)
    np.testing.assert_array_equal(render(scene, motion, PAPER, CENTER)[1], expected)
    assert video.shape == (2, 64, 64, 3)


@pytest.mark.parametrize("samples", [SMOOTH, CENTER])
def test_rays_that_are_left_out_meet_nothing(samples, monkeypatch):
    scene, motion = make_motion(SceneLaw(), "train", 1, frames=40, seed=0)
    motion = motion._replace(locations=motion.locations[::8], rotations=motion.rotations[::8])
    video, masks = render(scene, motion, PAPER, samples)
    assert (masks > 0).any()
    near = shading._near

    def everywhere(cones, centers, radii):
        assert near(cones, centers, radii).mean() < 0.5
        return np.ones(cones[0].shape[1], bool)

    shaded = shading._may_be_shaded

    def all_objects(centers, radii):
        shares.append(shaded(centers, radii).mean())
        return np.ones(len(radii), bool)

    shares = []
    monkeypatch.setattr(shading, "_near", everywhere)
    monkeypatch.setattr(shading, "_may_be_shaded", all_objects)
    every_video, every_mask = render(scene, motion, PAPER, samples)
    np.testing.assert_array_equal(masks, every_mask)
    np.testing.assert_array_equal(video, every_video)
    assert 0 < np.mean(shares) < 1


@pytest.mark.parametrize("location", [(0, 0, 0.2), (-1.5, 1, 0.2), (1, -0.5, 0.6)])
def test_area_of_a_sphere_is_that_of_its_cone(location):
    scene = make_scene([SPHERE], [location])
    _, masks = render(scene, still(scene), WHOLE, CENTER)
    # The cone about a ray at distance d and depth z with opening r meets the image plane in an
    # ellipse of this area.
    gap = np.array(location) - camera.POSITION
    squared, depth = gap @ gap, gap @ camera.AXES[2]
    area = np.pi * 0.2**2 * np.sqrt(squared - 0.2**2) / (depth**2 - 0.2**2) ** 1.5 * 525**2
    assert (masks > 0).sum() == pytest.approx(area, rel=0.01)


def test_centers_are_projected_into_their_masks():
    spec = RenderedSpec(width=96)
    checked = 0
    for clip in clips(spec, "test", stop=6):
        for k in range(clip["n_objects"]):
            for t in range(0, 40, 3):
                column, row = np.floor(clip["positions"][t, k]).astype(int)
                inside = 0 <= column < 96 and 0 <= row < 64
                seen = (clip["masks"][t] == k + 1).sum()
                assert clip["visible"][t, k] == (seen > 0)
                if inside:
                    found = clip["masks"][t, row, column]
                    # The center of a convex object is hidden by itself or by a nearer one.
                    assert found > 0
                    depth = (clip["locations"][t] - camera.POSITION) @ camera.AXES[2]
                    assert found == k + 1 or depth[found - 1] < depth[k] + 0.05
                    checked += found == k + 1
                elif not (-12 < column < 108 and -12 < row < 76):
                    assert seen == 0
    assert checked > 150


def test_color_shadow_and_highlight():
    sphere = make_scene([SPHERE], [(0, 0, 0.2)], colors=[1], materials=[0])
    motion = still(sphere)
    (metal,), (mask,) = render(sphere, motion, WHOLE, CENTER)
    (rubber,), _ = render(sphere._replace(materials=np.array([1])), motion, WHOLE, CENTER)
    (empty,), _ = render(sphere, motion._replace(locations=np.full((1, 1, 3), 9.0)), WHOLE, CENTER)
    red, green, blue = metal[mask == 1].astype(float).mean(0)
    assert red > 2 * green
    assert red > 2 * blue
    assert metal[mask == 1].max() > 240 > rubber[mask == 1].max()  # the highlight
    np.testing.assert_array_equal(metal[mask == 0], rubber[mask == 0])
    # The shadow lies on the floor, to the left, on the far side of the light.
    darker = (metal.astype(int) - empty).sum(-1) * (mask == 0)
    assert not (darker > 0).any()
    rows, columns = np.nonzero(darker < -60)
    light = np.array([2.0, 1.5, 3.75])
    center = light + (np.array([0, 0, 0.2]) - light) * light[2] / (light[2] - 0.2)
    assert len(rows) > 200
    assert columns.mean() < 235
    rays = camera.rays(columns + 0.5, rows + 0.5)
    points = camera.POSITION - rays * (camera.POSITION[2] / rays[:, 2:])
    # The sphere's outline in the light, drawn out by the light's slant.
    assert np.linalg.norm(points - center, axis=-1).max() < 0.2 * 1.5


def test_smooth_images_show_what_sharp_ones_do():
    scene, motion = make_motion(SceneLaw(), "train", 2, frames=1, seed=0)
    smooth, _ = render(scene, motion, PAPER)
    sharp, _ = render(scene, motion, WHOLE, CENTER)
    difference = np.abs(PAPER.frame(sharp[0]).astype(int) - smooth[0]).mean()
    assert difference < 1.5
    assert (smooth[0].std((0, 1)) > 10).all()
