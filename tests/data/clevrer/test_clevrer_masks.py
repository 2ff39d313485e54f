"""Ray casting. Oracles: closed forms, and points of space asked whether they are inside."""

import numpy as np
import official
import pytest
from scipy.spatial.transform import Rotation

from stiid.data.clevrer.annotations import parse_annotation
from stiid.data.clevrer.clips import annotated_masks
from stiid.data.clevrer.masks import ray_cast
from stiid.data.clevrer.source import ClevrerSpec
from stiid.data.view import View

ROWS, COLUMNS = np.arange(320) + 0.5, np.arange(480) + 0.5
CAMERA = np.array([4.3301270, 0.0, 2.5])


def cast(shapes, locations, angles=None, *, rows=ROWS, columns=COLUMNS):
    """Ids [H, W] of one frame."""
    locations = np.asarray(locations, float)[None]
    angles = np.zeros_like(locations) if angles is None else np.asarray(angles, float)[None]
    ids = ray_cast(shapes, locations, angles, rows=rows, columns=columns)
    assert (ids.dtype, ids.shape) == (np.uint8, (1, len(rows), len(columns)))
    return ids[0]


def directions(rows, columns):
    """[H, W, 3] by the numbers of data sheet, not by the camera's module."""
    across, down = (columns - 240) / 525, (rows[:, None] - 160) / 525
    right, below = np.array([0.0, 1.0, 0.0]), np.array([0.5, 0.0, -0.8660254])
    forward = np.array([-0.8660254, 0.0, -0.5])
    return across[:, None] * right + down[..., None] * below + forward


def centroid(mask):
    return np.array([COLUMNS @ mask.sum(0), ROWS @ mask.sum(1)]) / mask.sum()


@pytest.mark.parametrize(
    ("location", "pixel"),
    [((0, 0, 0.2), (240.0, 141.4)), ((0, 1, 0.2), (347.1, 141.4)), ((1, 0, 0.2), (240.0, 202.5))],
)
def test_known_places(location, pixel):
    """Projections worked out by hand; a sphere at the origin has a radius of 21.4 pixels."""
    mask = cast(["sphere"], [location]) == 1
    np.testing.assert_allclose(centroid(mask), pixel, atol=0.6)
    if location == (0, 0, 0.2):
        assert np.sqrt(mask.sum() / np.pi) == pytest.approx(21.43, rel=0.01)


def test_out_of_sight():
    assert not cast(["sphere"], [(3, 0, 0.2)]).any()  # below the image, at v = 463
    assert not cast(["cube"], [2 * CAMERA]).any()  # behind the camera


@pytest.mark.parametrize("shape", ["sphere", "cylinder", "cube"])
def test_impossible_places_are_no_trouble(shape):
    """In the camera, touching its plane from either side, and very far: no warning, no pixel."""
    forward = np.array([-0.8660254, 0.0, -0.5])
    reach = {"sphere": 0.2, "cylinder": 0.2 * 2**0.5, "cube": 0.2 * 3**0.5}[shape]
    places = [CAMERA, CAMERA - reach * forward, 1e6 * forward, -1e6 * forward]
    for place in places:
        assert not cast([shape], [place], [[1e5, 0.0, np.pi / 2]]).any()
    touching = cast([shape], [CAMERA + reach * forward + (0.0, 0.5 * reach, 0.0)])
    assert touching.any()


def test_a_sphere_is_a_cone_of_rays():
    """A ray meets it if its angle to the center's direction is at most asin(r / distance)."""
    rays = directions(ROWS, COLUMNS)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    for location in ((0.3, -0.7, 0.2), (1.9, 0.8, 0.25), (3.0, 0.0, 1.5), (-2.0, -1.9, 0.2)):
        toward = np.array(location) - CAMERA
        distance = np.linalg.norm(toward)
        expected = rays @ toward / distance >= np.sqrt(1 - (0.2 / distance) ** 2)
        assert expected.sum() > 500
        assert ((cast(["sphere"], [location]) == 1) != expected).sum() <= 1


def test_the_nearer_hides_the_farther():
    """Behind the sphere at the origin, on the camera's ray through it."""
    front = np.array([0.0, 0.0, 0.2])
    behind = front + 0.2 * (front - CAMERA)
    alone = cast(["sphere"], [front]) == 1
    for order in ((0, 1), (1, 0)):
        both = cast(["sphere", "sphere"], np.array([front, behind])[list(order)])
        np.testing.assert_array_equal(both == order.index(0) + 1, alone)
        assert not (both == order.index(1) + 1).any()


def inside(shape, points):
    """Whether points in the axes of an object lie in it."""
    if shape == "sphere":
        return (points**2).sum(-1) <= 0.04
    if shape == "cube":
        return (np.abs(points) <= 0.2).all(-1)
    return ((points[..., :2] ** 2).sum(-1) <= 0.04) & (np.abs(points[..., 2]) <= 0.2)


def march(shapes, locations, angles, rows, columns):
    """Ids by small steps along the rays: the first object that holds a point of it."""
    rays = directions(rows, columns)
    ids = np.zeros(rays.shape[:2], np.uint8)
    for depth in np.arange(0.004, 9, 0.006):
        points = CAMERA + depth * rays[ids == 0]
        found = np.zeros(len(points), np.uint8)
        for i, shape in enumerate(shapes):
            offsets = points - locations[i]
            near = np.flatnonzero((np.abs(offsets) < 0.36).all(-1))
            turned = Rotation.from_euler("xyz", angles[i]).inv().apply(offsets[near])
            found[near[inside(shape, turned)]] = i + 1
        ids[ids == 0] = found
    return ids


@pytest.mark.parametrize("seed", range(2))
def test_all_shapes_turned_in_any_way(seed):
    """Objects everywhere: at the edges, beside the camera, behind it, hiding each other."""
    rng = np.random.default_rng(seed)
    shapes = ["cube", "cylinder", "sphere"] * 4
    locations = rng.uniform((-3, -2, 0), (2, 2, 1.5), (12, 3))
    locations[:2] = np.array([(-0.26, 0.34, -0.15), (-0.2, -0.38, 0.1)]) + CAMERA
    locations[2] = np.array([0.5, 0.0, 0.3]) + CAMERA
    angles = rng.uniform(-np.pi, np.pi, (12, 3))
    rows, columns = np.arange(4, 320, 12.0), np.arange(4, 480, 12.0)
    ours = cast(shapes, locations, angles, rows=rows, columns=columns)
    theirs = march(shapes, locations, angles, rows, columns)
    assert len(np.unique(theirs)) > 6
    assert {1, 2} & set(np.unique(theirs))
    assert (ours != theirs).mean() < 0.002


def test_every_frame_for_itself():
    """Windows differ from frame to frame; together or alone, a frame looks the same."""
    rng = np.random.default_rng(0)
    shapes = ["cube", "sphere", "cylinder"]
    locations = rng.uniform((-3, -3, 0), (4.5, 3, 1), (20, 3, 3))
    angles = rng.uniform(-3, 3, (20, 3, 3))
    rows, columns = np.arange(2, 320, 5.0), np.arange(43, 440, 6.25)
    together = ray_cast(shapes, locations, angles, rows=rows, columns=columns)
    for t in range(20):
        alone = cast(shapes, locations[t], angles[t], rows=rows, columns=columns)
        np.testing.assert_array_equal(together[t], alone)
    assert len(np.unique(together)) == 4


@pytest.mark.parametrize("resolution", [64, 48])
def test_small_masks_are_large_masks_resized(resolution):
    text = str(official.annotation(official.SIX)).replace("'", '"').replace("True", "true")
    annotation = parse_annotation(text.encode(), "a")
    view = ClevrerSpec(resolution=resolution).view
    small = annotated_masks(annotation, view)
    whole = annotated_masks(annotation, View(height=320, width=480, channels=3))
    np.testing.assert_array_equal(small, [view.ids(frame) for frame in whole])
    assert set(np.unique(small[0])) == set(range(7))


def test_the_papers_window_by_hand():
    """400x320 to 64x64: a sphere at the origin is an ellipse of 3.4 by 4.3 pixels at (32, 28.3)."""
    text = str(official.annotation([("sphere", (0.0, 0.0), (0.0, 0.0))])).replace("'", '"')
    annotation = parse_annotation(text.replace("True", "true").encode(), "a")
    mask = annotated_masks(annotation, ClevrerSpec().view)[0] == 1
    places = np.arange(64) + 0.5
    middle = np.array([places @ mask.sum(0), places @ mask.sum(1)]) / mask.sum()
    np.testing.assert_allclose(middle, (32.0, 28.3), atol=0.3)
    assert mask.sum() == pytest.approx(np.pi * 3.43 * 4.29, rel=0.1)
