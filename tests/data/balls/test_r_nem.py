"""R-NEM's files: our writer against the simulator, the reader against files made by hand."""

import pickle
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import tiny
from r_nem_files import SPEC, by_hand, source

from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.balls.r_nem import RNemSpec
from stiid.data.balls.r_nem_writer import SETS, write_r_nem
from stiid.data.pipeline import eval_batches, train_iterator
from stiid.data.verify import verify_elements, verify_r_nem


def test_another_box_is_another_source(simulated):
    """It decides where objects are in pixels."""
    small, large = (source(simulated, box=box) for box in (10.0, 15.0))
    assert small.fingerprint != large.fingerprint
    assert (small[0]["positions"] != large[0]["positions"]).any()


def test_the_written_layout_is_that_of_the_published_files(simulated):
    """Axes T, N, H, W, C in three groups; `features` are booleans (public loaders say so)."""
    images, motion = (12, 5, 64, 64, 1), (12, 5, 4, 2)
    with h5py.File(simulated) as file:
        assert set(file) == {"training", "validation"}
        shapes = {name: item.shape for name, item in file["training"].items()}
        assert file["training/features"].dtype == np.bool_
    assert shapes == {
        **dict.fromkeys(("features", "groups", "collisions"), images),
        "events": (12, 5, 1, 1, 1),
        **dict.fromkeys(("positions", "velocities"), motion),
    }


@pytest.mark.parametrize("split", ["train", "validation"])
def test_read_back_is_what_was_simulated(simulated, split):
    ours = source(simulated, split)
    theirs = list(clips(SPEC, split))
    assert len(ours) == len(theirs)
    for i, truth in enumerate(theirs):
        clip = ours[i]
        for name in ("video", "masks", "n_objects", "colors", "id"):
            np.testing.assert_array_equal(clip[name], truth[name], err_msg=name)
            assert np.asarray(clip[name]).dtype == np.asarray(truth[name]).dtype
        for name in ("positions", "velocities"):
            np.testing.assert_allclose(clip[name], truth[name], atol=1e-5, err_msg=name)
        np.testing.assert_allclose(clip["radii"], truth["radii"], atol=0.25)


def test_colors_follow_the_masks(simulated):
    clip = source(simulated, colors="unique4")[3]
    again = source(simulated, colors="unique4")[3]
    other = [source(simulated, colors="unique4")[i]["colors"] for i in range(5)]
    assert clip["video"].shape == (12, 64, 64, 3)
    for ball in range(1, 5):
        assert (clip["video"][clip["masks"] == ball] == clip["colors"][ball - 1]).all()
    assert not clip["video"][clip["masks"] == 0].any()
    assert len({tuple(color) for color in clip["colors"].tolist()}) == 4
    np.testing.assert_array_equal(clip["video"], again["video"])
    assert len({color.tobytes() for color in other}) > 1


def test_collisions_are_where_velocities_change_size(simulated):
    with h5py.File(simulated) as file:
        group = file["training"]
        velocity, marked = group["velocities"][:], group["collisions"][..., 0]
        groups, events = group["groups"][..., 0], group["events"][:, :, 0, 0, 0]
    speed = np.linalg.norm(velocity, axis=-1)  # a wall keeps it; a ball keeps it by accident only
    met = np.abs(np.diff(speed, axis=0)) > 1e-5
    assert met.any()
    for t, clip, ball in np.argwhere(met):
        own = groups[t + 1, clip] == ball + 1
        assert marked[t + 1, clip][own].all()
    np.testing.assert_array_equal(events[1:], met.any(-1))
    assert not events[0].any()
    assert not marked[:, (groups == 0).all((0, 2, 3))].any()
    quiet = ~met.any(-1)
    assert not marked[1:][quiet].any()


def test_the_curtain_hides_a_square(tmp_path):
    """28×28 pixels, in the same place in all frames of a clip; balls are as without it."""
    spec = BallsSpec(**{**vars(SETS["balls3curtain64"]), "frames": 51, "train": 4} | NO_OTHERS)
    write_r_nem(tmp_path / "with.h5", spec, curtain=True)
    write_r_nem(tmp_path / "without.h5", spec, curtain=False)
    places = set()
    for i in range(4):
        ours, theirs = (
            source(tmp_path / f"{name}.h5", frames=51, box=10.0)[i] for name in ("with", "without")
        )
        hidden = (ours["masks"] != theirs["masks"]).any(0)
        rows, columns = np.nonzero(hidden)
        top, left = rows.min(), columns.min()
        assert max(np.ptp(rows), np.ptp(columns)) < 28
        # Some 28×28 square holds all that is hidden and nothing that is seen.
        seen = ours["masks"].any(0)
        squares = [
            (y, x)
            for y in range(max(0, rows.max() - 27), top + 1)
            for x in range(max(0, columns.max() - 27), left + 1)
            if y <= 36 and x <= 36 and not seen[y : y + 28, x : x + 28].any()
        ]
        assert squares
        places.add(squares[0])
        np.testing.assert_allclose(ours["positions"], theirs["positions"])
    assert len(places) > 1


NO_OTHERS = {"validation": 0, "test": 0}


def test_published_sets_have_the_measured_geometry():
    """Areas of R-NEM's published animations: 82.2 and 129.0 pixels, in the curtain set 184.7."""
    for name, areas in (("balls4mass64", (82.2, 129.0)), ("balls3curtain64", (184.7,))):
        spec = SETS[name]
        pixels = np.pi * (np.array(spec.radii) / spec.box * 64) ** 2
        np.testing.assert_allclose(pixels, areas, rtol=0.01)
    assert [spec.num_balls for spec in SETS.values()] == [(4,), (6, 7, 8), (3,)]


def test_both_iterators_read_it(simulated):
    ours = source(simulated)
    batch = next(train_iterator(ours, batch_size=4, num_frames=3, seed=0, num_threads=2))
    assert batch["video"].shape == (4, 3, 64, 64, 1)
    for batch in eval_batches(ours, batch_size=4, num_frames=12):
        for row in np.flatnonzero(batch["valid"]):
            np.testing.assert_array_equal(
                batch["video"][row], ours[int(batch["index"][row])]["video"]
            )


def test_a_source_can_be_pickled(simulated):
    ours = source(simulated)
    first = ours[0]["video"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ours))[0]["video"], first)


def test_fewer_frames(simulated):
    np.testing.assert_array_equal(
        source(simulated, frames=5)[1]["video"], source(simulated)[1]["video"][:5]
    )


def test_figures_of_verification(simulated):
    """Positions agree with the masks to a fraction of a pixel, and not with another box."""
    ours = source(simulated)
    figures = verify_elements(ours, clips=5)
    assert (figures["clips"], figures["objects"]) == (5, 4)
    assert 0.08 < figures["object_pixels"] < 0.13  # published animations: 0.106
    spec = RNemSpec(path=str(simulated), frames=12)
    figures = verify_r_nem(spec, "train", "", 5)
    assert figures["lit_outside_groups"] == figures["dark_in_groups"] == 0
    assert figures["centroid_error"] < 0.2
    wrong = RNemSpec(path=str(simulated), frames=12, box=10.0)
    assert verify_r_nem(wrong, "train", "", 5)["centroid_error"] > 5


def test_verification_by_hand(tmp_path):
    """6 lit pixels of which 2 are on no ball; 8 pixels on balls of which 4 are dark."""
    features, groups = np.zeros((2, 6, 1, 4, 4, 1))
    features[0, 0, 0], features[0, 0, 1, :2] = 1, 1
    groups[0, 0, 0, :], groups[1, 0, 3, :] = 1, 2
    spec = by_hand(
        tmp_path / "a.h5",
        images=(6, 1, 4, 4, 1),
        features=features,
        groups=groups,
        positions=None,
        velocities=None,
    )
    figures = verify_r_nem(spec, "train", "", 9)
    assert figures == pytest.approx({"lit_outside_groups": 2 / 6, "dark_in_groups": 4 / 8})


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing(tmp_path):
    path = tmp_path / "balls.h5"
    command = [sys.executable, "-m", "stiid.data", "simulate", "balls4mass64", str(path)]
    process = subprocess.Popen(command, cwd=tiny.ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
