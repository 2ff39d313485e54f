import numpy as np
import pytest

from stiid.data.clevrer import camera

# VRDP, dynamics/physics_simulation.py, get_2d_coor
VRDP = np.array(
    [
        [-207.8461456, 525.0000610, -120.0000153, 1200.0003662],
        [123.9359589, 0.0000183, -534.6633301, 799.9999390],
        [-0.8660254, 0.0, -0.5, 5.0000005],
    ]
)


@pytest.mark.parametrize(
    ("point", "pixel"),
    [
        ((0, 0, 0.2), (240.0, 141.4)),
        ((0, 1, 0.2), (347.1, 141.4)),
        ((1, 0, 0.2), (240.0, 202.5)),
        ((3, 0, 0.2), (240.0, 462.6)),  # below the image
        ((0, 0, 0), (240.0, 160.0)),
    ],
)
def test_known_points(point, pixel):
    np.testing.assert_allclose(camera.project(np.array(point)), pixel, atol=0.05)


def test_projection_is_vrdps_matrix():
    points = np.random.default_rng(0).uniform([-4, -4, 0], [3, 4, 1], (5, 100, 3))
    images = np.concatenate([points, np.ones((5, 100, 1))], -1) @ VRDP.T
    expected = images[..., :2] / images[..., 2:]
    np.testing.assert_allclose(camera.project(points), expected, atol=2e-3)


def test_rays_hit_what_is_projected():
    columns, rows = np.meshgrid(np.linspace(0, 480, 7), np.linspace(0, 320, 5))
    directions = camera.rays(columns, rows)
    assert directions.shape == (5, 7, 3)
    points = camera.POSITION + directions * np.linspace(0.5, 9, 7)[:, None]
    np.testing.assert_allclose(camera.project(points), np.stack([columns, rows], -1), atol=1e-9)
    depth = (points - camera.POSITION) @ camera.AXES[2]
    np.testing.assert_allclose(depth, np.broadcast_to(np.linspace(0.5, 9, 7), (5, 7)))


def test_rays_broadcast():
    np.testing.assert_array_equal(
        camera.rays(np.arange(4.0), np.arange(3.0)[:, None])[2, 3], camera.rays(3.0, 2.0)
    )


def test_what_is_behind_the_camera_has_no_image():
    behind = camera.POSITION - camera.AXES[2]
    assert np.isnan(camera.project(np.stack([behind, camera.POSITION]))).all()


def test_the_camera_is_a_rotation():
    np.testing.assert_allclose(camera.AXES @ camera.AXES.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(camera.AXES) == pytest.approx(1)
    np.testing.assert_allclose(camera.POSITION, (4.33013, 0, 2.5), atol=1e-5)
