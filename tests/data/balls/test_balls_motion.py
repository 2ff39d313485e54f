"""Motion of the balls against a scalar loop, cases worked by hand, and conservation laws."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from balls import DDPAE

from stiid.data.balls.physics import (
    Balls,
    BallsLaw,
    bounced,
    collided,
    draw_balls,
    simulate,
    stack_balls,
)

FOUR = BallsLaw()


SIX_TO_EIGHT = BallsLaw(num_balls=(6, 7, 8))


CURTAIN = BallsLaw(num_balls=(3,), box=10.0, radii=(1.2,), masses=(1.0,))


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


def test_contacts_are_read_from_velocities():
    """With one micro-step a frame, who touches whom or a wall is seen in the same frame."""
    law = BallsLaw(micro_steps=1, speed=2.0)
    start = draw(law, 20)
    x, v = simulate(law, start, num_frames=60)
    radii = start.radii[:, None]
    apart = np.linalg.norm(x[:, :, :, None] - x[:, :, None], axis=-1)
    reach = (radii[..., None] + radii[:, :, None]) * (1.0 - np.eye(4))
    touches = (apart < reach).any(-1)
    beyond = ((x < radii[..., None]) | (x > law.box - radii[..., None])).any(-1)
    same = np.concatenate([np.ones_like(v[:, :1]), v[:, 1:] == v[:, :-1]], 1).all(-1)
    hits, walls = collided(v), bounced(v)
    assert hits.sum() > 100
    assert walls.sum() > 100
    assert not (hits & ~touches).any()
    assert not (walls & ~beyond).any()
    np.testing.assert_array_equal(hits | walls, ~same)
    assert not (hits & walls).any()
    # Stored velocities are of other units and precision.
    stored = (v * 2.1).astype(np.float32)
    np.testing.assert_array_equal(collided(stored), hits)
    np.testing.assert_array_equal(bounced(stored), walls)


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
    # 3200 samples of 40 values, within 4 standard deviations.
    np.testing.assert_allclose(counts, 80, atol=4 * math.sqrt(80 * 39 / 40))
    np.testing.assert_array_equal(x, np.rint(x))
    # The width of the original's range is 678, its last value does not occur.
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


def test_balls_that_do_not_fit(monkeypatch):
    monkeypatch.setattr("stiid.data.balls.physics._ATTEMPTS", 10)
    law = BallsLaw(num_balls=8, box=3.0, radii=1.0, masses=1.0)
    with pytest.raises(ValueError, match="larger box"):
        draw_balls(law, np.random.default_rng(0))
