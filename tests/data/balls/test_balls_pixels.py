"""Pixels of the balls: areas, brute force, colors, and the other fields of a clip."""

import numpy as np
import pytest
from balls import DDPAE, SMALL

from stiid.data.balls import rendering
from stiid.data.balls.bouncing_balls import BallsSpec, clips


@pytest.mark.parametrize(
    ("radius", "box", "area"), [(1.2, 15.0, 82.35), (1.5, 15.0, 128.7), (1.2, 10.0, 185.3)]
)
def test_disc_areas(radius, box, area):
    # Areas measured on R-NEM's animations: 82.2, 129.0 and 184.7 px.
    rng = np.random.default_rng(0)
    centers = rng.uniform(radius, box - radius, (500, 1, 2))
    masks = rendering.render_masks(centers, np.array([radius]), box=box, resolution=64)
    assert masks.sum((1, 2)).mean() == pytest.approx(area, abs=0.3)


def test_first_coordinate_is_the_column():
    masks = rendering.render_masks(
        np.array([[[12.0, 3.0]]]), np.array([1.2]), box=15.0, resolution=15
    )
    rows, columns = np.nonzero(masks[0])
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == (3.0, 12.0)


def test_pixel_centers_within_the_radius_by_hand():
    # Center of the 4x4 image: the inner pixel centers are sqrt(0.5) = 0.707 away, the next 1.58.
    inside = rendering.render_masks(
        np.array([[[2.0, 2.0]]]), np.array([0.71]), box=4.0, resolution=4
    )
    np.testing.assert_array_equal(inside[0, 1:3, 1:3], 1)
    assert inside.sum() == 4
    outside = rendering.render_masks(
        np.array([[[2.0, 2.0]]]), np.array([0.7]), box=4.0, resolution=4
    )
    assert not outside.any()


@pytest.mark.parametrize("resolution", [5, 24, 64])
def test_rendering_equals_brute_force(resolution):
    rng = np.random.default_rng(resolution)
    positions = rng.uniform(-1, 11, (20, 5, 2))  # overlapping and partly outside
    radii = np.array([1.0, 1.5, 0.0, 2.5, 0.3])
    masks = rendering.render_masks(positions, radii, box=10.0, resolution=resolution)
    centers = (np.arange(resolution) + 0.5) / resolution * 10
    dx = centers[None, None, :, None] - positions[:, None, None, :, 0]
    dy = centers[None, :, None, None] - positions[:, None, None, :, 1]
    relative = np.hypot(dx, dy) / np.where(radii > 0, radii, 1e-9)
    expected = np.where(relative.min(-1) < 1, relative.argmin(-1) + 1, 0)
    np.testing.assert_array_equal(masks, expected)


def whole_discs(centers, radius, resolution):
    """Pixels up to a whole radius from whole centers [T, n, 2]."""
    dx, dy = (np.arange(resolution) - np.rint(centers[..., axis, None]) for axis in (0, 1))
    return (dx[:, :, None, :] ** 2 + dy[:, :, :, None] ** 2 <= radius**2).any(1)


# Pixels of a whole disc: Gauss's circle problem (OEIS A000328).
@pytest.mark.parametrize(
    ("radius", "whole", "area"), [(0.5, 0, 1), (1.0, 1, 5), (5.99, 5, 81), (9.6, 9, 253)]
)
def test_snapped_discs_equal_brute_force(radius, whole, area):
    """Radii and positions in pixels of 6.25: inside, at the edge, outside; radius 0 is no ball."""
    centers = np.random.default_rng(0).uniform(-3, 43, (20, 1, 2))
    centers[0] = (20.4, 18.6)
    positions, radii = rendering.snap(
        np.concatenate([centers, centers[::-1]], axis=1) * 6.25,
        np.array([radius, 0.0]) * 6.25,
        box=250.0,
        resolution=40,
    )
    masks = rendering.render_masks(positions, radii, box=250.0, resolution=40)
    np.testing.assert_array_equal(masks, whole_discs(centers, whole, 40))
    assert masks[0].sum() == area


def test_clips_of_ddpae_have_whole_discs():
    spec = BallsSpec(**DDPAE, resolution=128, frames=4)
    for clip in clips(spec, "test", stop=2):
        discs = whole_discs(clip["positions"], 9, 128)
        np.testing.assert_array_equal(clip["masks"] > 0, discs)
        assert clip["radii"].tolist() == pytest.approx([9.6] * 4)


def test_color_policies():
    rng = np.random.default_rng(0)
    base = set(rendering.BASE_COLORS)
    everything = base | set(rendering.NEW_COLORS)
    assert (len(base), len(everything)) == (4, 8)

    def colors(policy, count):
        return [tuple(c) for c in rendering.draw_colors(policy, count, rng).tolist()]

    assert colors("binary", 3) == [(255,)] * 3
    assert set(colors("unique4", 4)) == base
    assert len(set(colors("unique4", 3))) == 3
    assert set(colors("unique8", 8)) == everything
    assert set(colors("repeated4", 100)) == base
    assert {colors("unique4", 1)[0] for _ in range(60)} == base


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"colors": "unique4"},
        {"colors": "repeated4", "num_balls": (6, 7, 8)},
        {"colors": "unique8", "num_balls": (6, 7, 8)},
        SMALL,
    ],
)
def test_clip_is_consistent(options):
    spec = BallsSpec(**options)
    clip = next(clips(spec, "train", start=7))
    masks, video, n = clip["masks"], clip["video"], clip["n_objects"]
    assert video.shape == (spec.frames, spec.resolution, spec.resolution, spec.channels)
    assert (video.dtype, masks.dtype) == (np.uint8, np.uint8)
    assert clip["id"] == "train/000007"
    assert n in spec.num_balls
    # Every ball is visible in every frame under one id, in the color of that id.
    for frame in masks:
        assert set(np.unique(frame)) == set(range(n + 1))
    assert not video[masks == 0].any()
    np.testing.assert_array_equal(video[masks > 0], clip["colors"][masks[masks > 0] - 1])
    for name in ("positions", "velocities"):
        assert clip[name].shape == (spec.frames, spec.max_balls, 2)
        assert clip[name].dtype == np.float32
        assert not clip[name][:, n:].any()
    assert not clip["radii"][n:].any()
    assert not clip["colors"][n:].any()
    # Pixels: the disc's centroid is its position unless a wall or another disc cuts it.
    for k in range(n):
        x, r = clip["positions"][:, k], clip["radii"][k]
        whole = ((x > r) & (x < spec.resolution - r)).all(1)
        for t in np.flatnonzero(whole):
            rows, columns = np.nonzero(masks[t] == k + 1)
            np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], x[t], atol=0.6)
    # Velocities are per frame: they are the displacement unless something was hit in between.
    moved = np.diff(clip["positions"], axis=0)
    free = (clip["velocities"][1:] == clip["velocities"][:-1]).all(-1)
    assert free.any()
    np.testing.assert_allclose(moved[free], clip["velocities"][:-1][free], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "foreground"), [({}, 0.1030), ({"num_balls": (6, 7, 8)}, 0.1803)]
)
def test_foreground_fraction_of_pixels(options, foreground):
    # E[n] * E[pi r^2] / box^2; R-NEM's animations show 0.106 and 0.166 (4 of them each).
    spec = BallsSpec(frames=3, **options)
    lit = [(clip["masks"] > 0).mean() for clip in clips(spec, "test", stop=300)]
    assert np.mean(lit) == pytest.approx(foreground, rel=0.03)
