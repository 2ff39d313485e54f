"""Restarts: of several noise samples for frame 0, the one with the lowest negative ELBO is kept.

The negative ELBO is that of frame 0, or its sum over the first frames.
"""

import functools

import jax
import numpy as np
import oracles
import pytest
import tiny

from stiid.models.base import Decoding
from stiid.models.spatiotemporal.restarts import choose_noise, sample_noise

pytestmark = pytest.mark.slow  # compiles whole decompositions

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """The tiny system with random parameters, three videos of two frames, and their keys."""
    experiment = tiny.experiment(tmp_path_factory.mktemp("data"), model__inference__init_scale=2.0)
    system = experiment.model.build(SHAPE)
    params = jax.jit(system.init)(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (3, 2, *SHAPE), dtype=np.uint8)
    return system, params, video, jax.random.split(jax.random.key(1), 3)


def decompose(case, restarts, rows=slice(None), **options):
    system, params, video, keys = case
    decoding = Decoding(num_slots=3, restarts=restarts, **options)
    run = functools.partial(system.decompose, decoding=decoding)
    with tiny.quick_compilation():
        return jax.jit(run)(params, video[rows], keys[rows])


def sample(case, *, num_frames):
    """The first noise sample of the videos."""
    system, _, _, keys = case
    return sample_noise(system.model, keys, num_frames=num_frames, num_slots=3)


def further_samples(case, count):
    """Further samples of frame 0, which restarts add to the first."""
    system, _, _, keys = case
    own = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    return sample_noise(system.model, own, num_frames=count, num_slots=3)


def choose(case, first, *, restarts):
    """``choose_noise`` by frame 0 of the videos; the last decode's row stays sampled."""
    system, params, video, keys = case
    decoding = Decoding(num_slots=3, noise="all", restarts=restarts)
    frames = video.astype(np.float32) / 255
    return choose_noise(system.model, system.objective.elbo, params, frames, keys, first, decoding)


def negative_elbo(case, result, t=0):
    """β nll + ψ KL of frame t in NumPy, from the masks, means and KL of the decomposition."""
    system, _, video, _ = case
    objective, inference = system.objective, system.model.inference
    x = video[:, t].astype(np.float64) / 255
    masks, means = (np.asarray(a[:, t], np.float64) for a in (result.masks, result.means))
    exponents = -((x[:, None] - means) ** 2).sum(-1) / (2 * inference.variance)
    nll = -np.log((masks * np.exp(exponents)).sum(1)).sum((1, 2))
    return objective.beta * nll + objective.psi * np.asarray(result.kl[:, t]).sum(-1)


@pytest.fixture(scope="module")
def results(case):
    """Number of restarts → decomposition."""
    return {restarts: decompose(case, restarts) for restarts in (1, 6)}


def test_more_samples_never_cost_negative_elbo(case, results):
    energies = [negative_elbo(case, result) for result in results.values()]
    assert (energies[1] <= energies[0] + 1e-3).all()
    assert (energies[1] < energies[0] - 1e-3).any()


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_the_reported_nll_is_that_of_a_density(tmp_path, mixture):
    """scipy's densities of the last decodes, which ``decompose`` shows for the same noise."""
    changes = {"model__inference__mixture": mixture, "model__inference__variance": 0.1}
    system = tiny.experiment(tmp_path, **changes).model.build(SHAPE)
    params = system.init(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (2, 2, *SHAPE), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(1), 2)
    reported = system.loss(params, video, keys).nll
    shown = system.decompose(params, video, keys, Decoding(num_slots=3, noise="all"))
    frames = [
        oracles.log_likelihood(
            video[:, t] / 255.0,
            *oracles.float64((shown.means[:, t], shown.masks[:, t, ..., None])),
            variance=0.1,
            mixture=mixture,
        ).sum((1, 2))
        for t in range(2)
    ]
    np.testing.assert_allclose(reported, -np.mean(frames, axis=0), rtol=1e-4)


def test_samples_belong_to_their_video(case, results):
    alone = decompose(case, 6, rows=slice(1, 2))
    for ours, theirs in zip(jax.tree.leaves(alone), jax.tree.leaves(results[6]), strict=True):
        np.testing.assert_allclose(ours[0], theirs[1], rtol=1e-4, atol=1e-4)


def test_a_sample_that_cannot_be_evaluated_is_not_chosen(case, monkeypatch):
    """The second noise sample is NaN, and so is all that comes of it."""
    first = sample(case, num_frames=1)

    def poisoned(*args, **options):
        return sample_noise(*args, **options).at[0].set(np.nan)

    monkeypatch.setattr("stiid.models.spatiotemporal.restarts.sample_noise", poisoned)
    np.testing.assert_array_equal(choose(case, first, restarts=2), first)


def test_the_chosen_sample_is_that_of_lowest_negative_elbo(case, results):
    """Each sample decomposed alone: the second of two is sample 1 of any number."""
    first = sample(case, num_frames=1)
    samples = [first[0], *further_samples(case, 5)]
    chosen = choose(case, first, restarts=6)[0]
    matches = [[bool((chosen[:, b] == one[:, b]).all()) for one in samples] for b in range(3)]
    assert [sum(row) for row in matches] == [1, 1, 1]
    assert len({row.index(True) for row in matches}) > 1


@pytest.mark.parametrize("judges", [1, 2])
def test_samples_are_judged_by_so_many_frames(case, monkeypatch, judges):
    """Each noise sample decomposed alone, its negative ELBO in NumPy, over so many frames."""
    first = sample(case, num_frames=2)
    samples = [first[0], *further_samples(case, 7)]
    chosen = decompose(case, 8, restart_frames=judges)
    energies, results = [], []
    for one in samples:
        monkeypatch.setattr(
            "stiid.models.spatiotemporal.model.sample_noise",
            lambda *_, d=one, **__: first.at[0].set(d),
        )
        results.append(decompose(case, 1))
        frames = [negative_elbo(case, results[-1], t) for t in range(judges)]
        energies.append(np.sum(frames, axis=0))
    best = np.argmin(energies, axis=0)
    for b in range(3):
        np.testing.assert_allclose(chosen.masks[b], results[best[b]].masks[b], rtol=1e-3, atol=1e-3)


def test_frames_to_come_change_the_choice(case):
    """One frame alone chooses other noise samples than two, in some of the videos."""
    one, two = (decompose(case, 64, restart_frames=judges) for judges in (1, 2))
    sums = [sum(negative_elbo(case, result, t) for t in range(2)) for result in (one, two)]
    assert (sums[1] <= sums[0] + 1e-3).all()
    assert (sums[1] < sums[0] - 1e-3).any()


IODINE = {"time_axis": "none", "grid": "full", "conditional_prior": False, "generation": False}


def test_frames_without_memory_all_sample_and_choose(case, tmp_path):
    """To IODINE every frame is the first: as if its frames were videos with the same keys."""
    _, _, video, keys = case
    changes = {f"model__inference__{name}": value for name, value in IODINE.items()}
    experiment = tiny.experiment(tmp_path, model__inference__init_scale=2.0, **changes)
    system = experiment.model.build(SHAPE)
    params = jax.jit(system.init)(jax.random.key(0))
    anew = system, params, video, keys
    once, chosen = (decompose(anew, restarts) for restarts in (1, 6))
    # Slots of the second frame differ too, and its choice costs no more negative ELBO either.
    assert (np.ptp(np.asarray(once.means)[:, 1], axis=1).max((1, 2, 3)) > 1e-3).all()
    for t in range(2):
        rest = [result._replace(masks=result.masks[:, t:]) for result in (once, chosen)]
        rest = [r._replace(means=r.means[:, t:], kl=r.kl[:, t:]) for r in rest]
        energies = [negative_elbo((system, None, video[:, t:], None), result) for result in rest]
        assert (energies[1] <= energies[0] + 1e-3).all()
        assert (energies[1] < energies[0] - 1e-3).any()


def test_a_model_without_memory_simulates_nothing(tmp_path):
    changes = {f"model__inference__{name}": value for name, value in IODINE.items()}
    system = tiny.experiment(tmp_path, **changes).model.build(SHAPE)
    with pytest.raises(ValueError, match=r"cannot simulate frames: .* predict.num_simulated to 0"):
        system.decompose(
            None, np.zeros((1, 2, *SHAPE), np.uint8), None, Decoding(num_slots=3), num_simulated=1
        )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("noise", "some", r"noise: expected one of \('first', 'all'\), got 'some'"),
        ("num_slots", 0, "num_slots must be at least 1, got 0"),
        ("restarts", 0, "restarts must be at least 1, got 0"),
        ("restart_frames", -1, "restart_frames must be at least 1, got -1"),
    ],
)
def test_an_impossible_decoding_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**{"num_slots": 3, field: value})


def test_a_decoding_may_be_a_static_argument():
    assert hash(Decoding(num_slots=3)) == hash(Decoding(num_slots=3))
    assert Decoding(num_slots=3) != Decoding(num_slots=3, restarts=2)
