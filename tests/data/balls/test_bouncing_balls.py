import contextlib
import dataclasses
import math
import shutil
import signal
import subprocess
import sys
import threading
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from stiid.data import registry
from stiid.data.balls import builder, rendering
from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.balls.physics import Balls, BallsLaw, draw_balls, simulate, stack_balls

FOUR = BallsLaw()
SIX_TO_EIGHT = BallsLaw(num_balls=(6, 7, 8))
CURTAIN = BallsLaw(num_balls=(3,), box=10.0, radii=(1.2,), masses=(1.0,))
DDPAE = {
    "num_balls": (4,),
    "box": 800.0,
    "radii": (60.0,),
    "masses": (1.0,),
    "speed": 20.0,
    "micro_steps": 1,
    "law": "ddpae",
}
SMALL = {
    "num_balls": 3,
    "box": 10.0,
    "radii": (1.0, 1.25, 1.5),
    "masses": (1.0, 1.0, 1.0),
    "colors": "unique4",
    "resolution": 24,
    "frames": 6,
    "train": 30,
    "validation": 5,
    "test": 0,
}


def draw(law, count, seed=3):
    return stack_balls([draw_balls(law, np.random.default_rng([seed, i])) for i in range(count)])


def make_balls(positions, velocities, radii, masses):
    return Balls(
        np.array([positions], float),
        np.array([velocities], float),
        np.array([radii], float),
        np.array([masses], float),
    )


def energy(velocities, masses):
    return (masses[:, None] * (velocities**2).sum(-1)).sum(-1)


# --- the motion ---------------------------------------------------------------------------------


def scalar_reference(law, x, v, r, m, num_frames):
    """The law for one clip, one number at a time; x and v are lists of [x, y]."""
    eps = 1 / law.micro_steps
    recorded = []
    for _ in range(num_frames):
        recorded.append([list(p) for p in x])
        for _ in range(law.micro_steps):
            for i in range(len(x)):
                for c in range(2):
                    x[i][c] += eps * v[i][c]
                    if x[i][c] - r[i] < 0:
                        v[i][c] = abs(v[i][c])
                    if x[i][c] + r[i] > law.box:
                        v[i][c] = -abs(v[i][c])
            for i in range(len(x)):
                for j in range(i):
                    gap = [x[i][0] - x[j][0], x[i][1] - x[j][1]]
                    distance = math.hypot(*gap)
                    if distance >= r[i] + r[j]:
                        continue
                    w = [gap[0] / distance, gap[1] / distance]
                    a = w[0] * v[i][0] + w[1] * v[i][1]
                    b = w[0] * v[j][0] + w[1] * v[j][1]
                    if a >= b:
                        continue
                    b_new = (2 * m[i] * a + b * (m[j] - m[i])) / (m[i] + m[j])
                    a_new = b_new + b - a
                    for c in range(2):
                        v[i][c] += w[c] * (a_new - a)
                        v[j][c] += w[c] * (b_new - b)
    return recorded


@pytest.mark.parametrize("law", [FOUR, SIX_TO_EIGHT, CURTAIN])
def test_simulation_equals_scalar_reference(law):
    balls = draw(law, 6)
    path = simulate(law, balls, num_frames=40)
    for clip in range(6):
        n = np.count_nonzero(balls.radii[clip])
        expected = scalar_reference(
            law, *(np.array(field[clip][:n]).tolist() for field in balls), num_frames=40
        )
        np.testing.assert_allclose(path.positions[clip, :, :n], expected, atol=1e-9)
        assert not path.positions[clip, :, n:].any()


def test_wall_reflection_by_hand():
    law = BallsLaw(num_balls=(1,), box=10.0, radii=(1.0,), masses=(1.0,))
    balls = make_balls([[8.2, 5.0]], [[0.5, 0.0]], [1.0], [1.0])
    path = simulate(law, balls, num_frames=5)
    # Steps of 0.25; at 9.2 the disc reaches 10.2 > 10 and turns without a correction.
    np.testing.assert_allclose(path.positions[0, :, 0, 0], [8.2, 8.7, 9.2, 8.7, 8.2])
    np.testing.assert_allclose(path.velocities[0, :, 0, 0], [0.5, 0.5, -0.5, -0.5, -0.5])
    np.testing.assert_array_equal(path.positions[0, :, 0, 1], 5.0)


@pytest.mark.parametrize("heavy_first", [False, True])
def test_head_on_collision_of_masses_1_and_6(heavy_first):
    # Light ball at speed 0.7 onto a resting heavy one: (1 - 6) / 7 and 2 / 7 of the speed.
    balls = make_balls([[4.0, 7.0], [6.8, 7.0]], [[0.7, 0.0], [0.0, 0.0]], [1.2, 1.5], [1.0, 6.0])
    if heavy_first:
        balls = Balls(*(field[:, ::-1].copy() for field in balls))
    path = simulate(BallsLaw(num_balls=(2,)), balls, num_frames=3)
    after = path.velocities[0, -1, ::-1] if heavy_first else path.velocities[0, -1]
    np.testing.assert_allclose(after, [[-0.5, 0.0], [0.2, 0.0]], atol=1e-15)


def test_receding_contact_is_left_alone():
    balls = make_balls([[5.0, 5.0], [7.0, 5.0]], [[-0.1, 0.0], [0.1, 0.0]], [1.2, 1.2], [1.0, 1.0])
    path = simulate(BallsLaw(num_balls=(2,)), balls, num_frames=10)
    np.testing.assert_array_equal(path.velocities[0], np.tile(balls.velocities[0], (10, 1, 1)))


@pytest.mark.parametrize(
    ("law", "rms_speed", "foreground"),
    # An independent re-simulation of the R-NEM law, 40 clips of 300 frames: px per frame at 64x64.
    [(FOUR, 1.37, 0.105), (SIX_TO_EIGHT, 1.09, 0.179), (CURTAIN, 1.85, 0.136)],
)
def test_long_run_statistics(law, rms_speed, foreground):
    balls = draw(law, 200)
    path = simulate(law, balls, num_frames=300)
    used = np.repeat(balls.radii[:, None] > 0, 300, axis=1)
    squares = (path.velocities**2).sum(-1)[used]
    assert np.sqrt(squares.mean()) * 64 / law.box == pytest.approx(rms_speed, rel=0.03)
    area = np.pi * (balls.radii**2).sum(1).mean() / law.box**2
    assert area == pytest.approx(foreground, rel=0.04)
    energies = energy(path.velocities, balls.masses)
    np.testing.assert_allclose(energies, np.tile(energies[:, :1], 300), rtol=1e-12)


@pytest.mark.parametrize(("law", "pixels"), [(FOUR, 2.133), (SIX_TO_EIGHT, 2.133), (CURTAIN, 3.2)])
def test_start_of_a_clip(law, pixels):
    balls = draw(law, 400)
    total = np.sqrt((balls.velocities**2).sum((1, 2))) * 64 / law.box
    np.testing.assert_allclose(total, pixels, atol=5e-4)
    used = balls.radii > 0
    x, r = balls.positions[used], balls.radii[used][:, None]
    assert (x >= r).all()
    assert (x <= law.box - r).all()
    gaps = np.linalg.norm(balls.positions[:, :, None] - balls.positions[:, None], axis=-1)
    contact = balls.radii[:, :, None] + balls.radii[:, None]
    both = used[:, :, None] & used[:, None] & ~np.eye(law.max_balls, dtype=bool)
    assert (gaps[both] >= contact[both]).all()
    # Uniform counts and fair coins, within 4 standard deviations; centered without a direction.
    counts = np.bincount(used.sum(1), minlength=9)[list(law.num_balls)]
    share = 1 / len(law.num_balls)
    np.testing.assert_allclose(
        counts / 400, share, atol=4 * math.sqrt(share * (1 - share) / 400) + 1e-9
    )
    if len(law.radii) == 2:
        heavy = (balls.masses[used] == 6).mean()
        assert heavy == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(used.sum()))
    assert x.mean() == pytest.approx(law.box / 2, abs=0.25)
    assert balls.velocities[used].mean() == pytest.approx(0, abs=0.03)


def test_start_of_a_clip_of_ddpae():
    """All whole: velocities -20 … 19, centers 60 + 1 off the walls, 1.25 · 120 = 150 apart."""
    law = BallsLaw(**DDPAE)
    x, v, radii, masses = draw(law, 400)
    assert (radii == 60).all()
    assert (masses == 1).all()
    values, counts = np.unique(v, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-20, 20))
    # 3200 draws of 40 values, within 4 standard deviations.
    np.testing.assert_allclose(counts, 80, atol=4 * math.sqrt(80 * 39 / 40))
    np.testing.assert_array_equal(x, np.rint(x))
    # The width of the original's range is 678, its last value is not drawn.
    assert (x.min(), x.max()) == (61, 738)
    assert x.mean() == pytest.approx(399.5, abs=14)
    first, second = np.triu_indices(4, 1)
    gaps = np.linalg.norm(x[:, first] - x[:, second], axis=-1)
    assert 150 <= gaps.min() < 152


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    count=st.integers(1, 5),
    kinds=st.lists(st.tuples(st.floats(0.3, 1.5), st.floats(0.1, 10.0)), min_size=1, max_size=3),
    speed=st.floats(0.0, 3.0),
    micro_steps=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_any_law_conserves_energy_and_keeps_balls(count, kinds, speed, micro_steps, seed):
    radii, masses = zip(*kinds, strict=True)
    law = BallsLaw(
        num_balls=count, box=12.0, radii=radii, masses=masses, speed=speed, micro_steps=micro_steps
    )
    balls = draw(law, 3, seed)
    path = simulate(law, balls, num_frames=30)
    energies = energy(path.velocities, balls.masses)
    np.testing.assert_allclose(energies, np.tile(energies[:, :1], 30), rtol=1e-9, atol=1e-12)
    # A micro-step moves a ball by at most the speed at which it would hold all the energy. A ball
    # that is hit while outside may overshoot more than once.
    fastest = np.sqrt(energies[:, 0] / balls.masses.min(1)).max()
    r = balls.radii[:, None, :, None]
    outside = np.maximum(r - path.positions, path.positions - (law.box - r)).max()
    assert outside <= 2 * fastest / micro_steps + 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_balls": ()}, "num_balls"),
        ({"num_balls": 0}, "num_balls"),
        ({"radii": (1.0,)}, "same kinds"),
        ({"masses": (1.0, -1.0)}, "positive"),
        ({"box": 2.9}, "fit into the box"),
        ({"speed": -1.0}, "speed"),
        ({"law": "rtrbm"}, r"law must be one of \('rnem', 'ddpae'\)"),
        ({"law": "ddpae", "speed": 1.5}, "whole speed of at least 1, got 1.5"),
        ({"law": "ddpae", "speed": 0.0}, "whole speed of at least 1, got 0"),
        ({"micro_steps": 0}, "micro_steps"),
        ({"colors": "pink"}, "unique4"),
        ({"colors": "unique4", "num_balls": 5}, "too few"),
        ({"resolution": 0}, "resolution"),
        ({"frames": 0}, "frames"),
        ({"seed": -1}, "seed"),
        ({"train": -1}, "train"),
        ({"train": 0, "validation": 0, "test": 0}, "train"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        BallsSpec(**options)


@pytest.mark.parametrize(
    "options",
    [{"num_balls": 4.5}, {"box": "15"}, {"speed": math.nan}, {"frames": True}, {"colors": 4}],
)
def test_bad_types(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        BallsSpec(**options)


def test_balls_that_do_not_fit(monkeypatch):
    monkeypatch.setattr("stiid.data.balls.physics._ATTEMPTS", 10)
    law = BallsLaw(num_balls=8, box=3.0, radii=1.0, masses=1.0)
    with pytest.raises(ValueError, match="larger box"):
        draw_balls(law, np.random.default_rng(0))


# --- pixels -------------------------------------------------------------------------------------


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


# --- determinism --------------------------------------------------------------------------------


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_clips_do_not_depend_on_the_chunk():
    spec = BallsSpec(num_balls=(6, 7, 8), resolution=16)
    together = list(clips(spec, "train", stop=12))
    for chunk in (1, 5):
        for first, second in zip(together, clips(spec, "train", stop=12, chunk=chunk), strict=True):
            assert_same(first, second)
    assert_same(together[9], next(clips(spec, "train", start=9)))


def test_seed_split_and_index_decide_the_clip():
    def starts(**options):
        split = options.pop("split", "train")
        spec = BallsSpec(frames=1, resolution=8, **options)
        return [clip["positions"].tobytes() for clip in clips(spec, split, stop=20)]

    every = starts() + starts(seed=1) + starts(split="validation") + starts(split="test")
    assert len(set(every)) == 80
    assert starts() == starts()
    # Colors and counts leave the motion alone.
    assert starts() == starts(colors="unique4", train=21)


def test_every_parameter_changes_the_name():
    specs = [
        BallsSpec(),
        BallsSpec(num_balls=(4, 5)),
        BallsSpec(box=15.5),
        BallsSpec(radii=(1.2, 1.4)),
        BallsSpec(masses=(1.0, 5.0)),
        BallsSpec(speed=0.25),
        BallsSpec(micro_steps=4),
        BallsSpec(law="ddpae", speed=20.0),
        BallsSpec(colors="unique4"),
        BallsSpec(resolution=32),
        BallsSpec(frames=50),
        BallsSpec(train=1),
        BallsSpec(validation=1),
        BallsSpec(test=1),
        BallsSpec(seed=1),
    ]
    assert len(specs) == 1 + len(dataclasses.fields(BallsSpec))
    assert len({spec.name for spec in specs}) == len(specs)
    assert BallsSpec(num_balls=[4], box=15, radii=[1.2, 1.5]).name == BallsSpec().name
    # A changed name orphans the data sets on users' disks.
    assert BallsSpec().name == "4balls_binary_64px_51f_6d19180e6011"


# --- storage ------------------------------------------------------------------------------------


def load(data_dir, split="train", **options):
    return registry.load("bouncing_balls", split, data_dir=str(data_dir), **(SMALL | options))


def final_dir(data_dir, **options):
    return data_dir / "bouncing_balls" / BallsSpec(**(SMALL | options)).name / "1.0.0"


def test_stored_clips_equal_simulated_clips(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("stiid.data.stored._SHARD_BYTES", 10 * 6 * 24 * 24 * 4)
    source = load(tmp_path)
    assert "35/35" in capfd.readouterr().err  # a progress bar with the total of all splits
    assert len(list(final_dir(tmp_path).glob("*train.array_record*"))) == 3
    assert len(source) == 30
    for index, clip in enumerate(clips(BallsSpec(**SMALL), "train")):
        assert_same(source[index], clip)
    assert isinstance(source[0]["id"], str)
    assert source.fingerprint == f"bouncing_balls/{BallsSpec(**SMALL).name}/1.0.0:train"
    assert "tensorflow" not in sys.modules

    monkeypatch.setattr(builder, "clips", None)  # a second use generates nothing
    validation = load(tmp_path, "validation")
    assert len(validation) == 5
    assert validation[4]["id"] == "validation/000004"
    with pytest.raises(ValueError, match="validation"):
        load(tmp_path, "test")


def test_bad_requests(tmp_path):
    with pytest.raises(ValueError, match="bouncing_balls"):
        registry.load("bouncing_bals", "train", data_dir=str(tmp_path))
    with pytest.raises(TypeError, match=r"no options \('ball',\).*num_balls"):
        load(tmp_path, ball=3)
    with pytest.raises(ValueError, match=r"\('train', 'validation'\)"):
        load(tmp_path, "trian")
    assert not list(tmp_path.iterdir())
    assert "bouncing_balls" in registry.names()


def test_unwritable_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot prepare bouncing_balls in .*another data_dir"):
        load(tmp_path / "file")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interruption_leaves_nothing(tmp_path, monkeypatch, error):
    def interrupted(*args, **kwargs):
        yield from clips(*args, **{**kwargs, "stop": 10})
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(builder, "clips", interrupted)
        with pytest.raises(error):
            load(tmp_path)
    assert not list(final_dir(tmp_path).parent.iterdir())
    assert len(load(tmp_path)) == 30


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("*train.array_record*", lambda path: path.unlink()),
        ("*train.array_record*", cut),
        ("dataset_info.json", lambda path: path.unlink()),
        ("dataset_info.json", cut),
    ],
    ids=["no records", "cut records", "no info", "cut info"],
)
def test_damaged_data_are_named_and_made_again(tmp_path, pattern, damage):
    load(tmp_path)
    folder = final_dir(tmp_path)
    for path in folder.glob(pattern):
        damage(path)

    def read():
        source = load(tmp_path)
        return [source[i]["id"] for i in range(len(source))]

    with pytest.raises(OSError, match=r"cannot read the data in .*delete that folder") as caught:
        read()
    named = str(caught.value).split(" in ")[1].split(" (")[0]
    assert "\n" not in str(caught.value)
    assert named == str(folder)
    shutil.rmtree(named)
    assert len(read()) == 30


# Run in another process: clip 10 waits for the file "go", or kills the process.
SCRIPT = """
import os, pathlib, signal, sys, time
from stiid.data import registry
from stiid.data.balls import builder
data_dir, mode = pathlib.Path(sys.argv[1]), sys.argv[2]
clips = builder.clips
def slow(*args, **kwargs):
    for i, clip in enumerate(clips(*args, **kwargs)):
        if i == 10 and mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if i == 10:
            (data_dir / "started").touch()
            while not (data_dir / "go").exists():
                time.sleep(0.01)
        yield clip
builder.clips = slow
registry.load("bouncing_balls", "train", data_dir=str(data_dir), **OPTIONS)
"""


@contextlib.contextmanager
def other_process(data_dir, mode):
    script = SCRIPT.replace("OPTIONS", repr(SMALL))
    with subprocess.Popen([sys.executable, "-c", script, str(data_dir), mode]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_killed_generation_starts_again(tmp_path):
    with other_process(tmp_path, "kill") as process:
        assert process.wait(timeout=60) == -signal.SIGKILL
    target = final_dir(tmp_path)
    assert not target.exists()
    assert [path.name.split(".")[0] for path in target.parent.iterdir()] == ["incomplete"]
    source = load(tmp_path)
    assert [path.name for path in target.parent.iterdir()] == ["1.0.0"]
    for index, clip in enumerate(clips(BallsSpec(**SMALL), "train")):
        assert_same(source[index], clip)


@pytest.mark.slow
def test_second_process_waits_for_the_first(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(builder, "clips", None)  # this process must not generate
    with other_process(tmp_path, "wait") as first:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        release = threading.Timer(0.5, (tmp_path / "go").touch)
        release.start()
        source = load(tmp_path)
        release.join()
        assert first.wait(timeout=60) == 0
    assert "Waiting for the process that prepares" in capfd.readouterr().err
    assert_same(source[29], next(clips(BallsSpec(**SMALL), "train", start=29)))
