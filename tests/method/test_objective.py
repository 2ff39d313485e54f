"""Oracle: Eq. 7 written out in float64 NumPy, term by term."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny
from scipy.stats import entropy

from stiid.method.inference import VideoResult
from stiid.method.objective import loss, step_weights
from stiid.method.refinement import FrameResult, Terms

OBJECTIVE = dataclasses.replace(tiny.OBJECTIVE, beta=10.0, psi=0.5)
RUNS = ((1, 3), (2, 2))  # frames and evaluations J of each run of equal R̂
BATCH, SLOTS, PIXELS = 2, 3, 20

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module")
def case():
    """A video and the outcome of its inference, all random."""
    rng = np.random.default_rng(0)
    terms = tuple(
        Terms(
            nll=rng.normal(size=(frames, count, BATCH)),
            kl=rng.random((frames, count, BATCH, SLOTS)),
            mask_entropy=rng.random((frames, count, BATCH)),
            areas=PIXELS * rng.dirichlet(np.ones(SLOTS), size=(frames, count, BATCH)),
        )
        for frames, count in RUNS
    )
    video = rng.random((BATCH, 3, 4, 5, 3))
    frames = FrameResult(rng.random((3, BATCH, 4, 5, 3)), None, None, None, None)
    return VideoResult(terms, frames, None), video


def expected_total(result, objective, weights):
    total = np.zeros(BATCH)
    areas = np.zeros((BATCH, SLOTS))
    for run in result.terms:
        for t, j, b in np.ndindex(run.nll.shape):
            cost = objective.beta * run.nll[t, j, b] + objective.psi * run.kl[t, j, b].sum()
            cost += objective.gamma * run.mask_entropy[t, j, b]
            cost += objective.slot_entropy * shares_cost(run.areas[t, j, b])
            weight = weights(j, run.nll.shape[1])
            total[b] += weight * cost
            areas[b] += weight * run.areas[t, j, b]
    return total + objective.largest_share * largest_share_cost(areas)


def shares_cost(areas):
    """Pixels times the entropy of the slots' shares, with what keeps its gradient finite at 0."""
    return -(areas * np.log(areas / PIXELS + 1e-12)).sum(-1)


def largest_share_cost(areas):
    """−log of the largest slot's share, times all pixels, of each video: areas [B, K]."""
    return -np.log(areas.max(1) / areas.sum(1)) * areas.sum(1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gamma": 2.0},
        {"gamma": -2.0},
        {"slot_entropy": 3.0},
        {"largest_share": 3.0},
        {"beta": 1.0},
        {"psi": 4.0},
    ],
)
def test_total_is_the_weighted_sum_over_the_grid(case, changes):
    objective = dataclasses.replace(OBJECTIVE, **changes)
    expected = expected_total(case[0], objective, lambda j, count: (j + 1) / count)
    np.testing.assert_allclose(loss(objective, *case).total, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("linear", [0.25, 0.5, 0.75, 1.0]),
        ("uniform", [1.0, 1.0, 1.0, 1.0]),
        ("last", [0.0, 0.0, 0.0, 1.0]),
    ],
)
def test_step_weights(case, kind, weights):
    np.testing.assert_array_equal(step_weights(kind, 4), weights)
    objective = dataclasses.replace(OBJECTIVE, step_weights=kind)
    expected = expected_total(case[0], objective, lambda j, count: step_weights(kind, count)[j])
    np.testing.assert_allclose(loss(objective, *case).total, expected, rtol=1e-12)


def test_positive_gamma_prefers_sharp_masks(case):
    """Eq. 7 as printed: the maximized objective gains γ Σ m log m."""

    def total(gamma, entropy):
        result = case[0]._replace(
            terms=tuple(t._replace(mask_entropy=t.mask_entropy * entropy) for t in case[0].terms)
        )
        return loss(dataclasses.replace(OBJECTIVE, gamma=gamma), result, case[1]).total

    assert (total(0.1, 0.5) < total(0.1, 1.0)).all()
    assert (total(-0.1, 0.5) > total(-0.1, 1.0)).all()


def test_terms_are_means_over_the_last_decodes(case):
    result, video = case
    terms = loss(OBJECTIVE, *case)
    last = [np.concatenate([run[i][:, -1] for run in result.terms]) for i in range(4)]
    np.testing.assert_allclose(terms.nll, last[0].mean(0))
    np.testing.assert_allclose(terms.kl, last[1].sum(-1).mean(0))
    np.testing.assert_allclose(terms.mask_entropy, last[2].mean(0) / PIXELS)
    np.testing.assert_allclose(terms.slot_entropy, entropy(last[3], axis=-1).mean(0))
    error = (result.frames.reconstruction - np.swapaxes(video, 0, 1)) ** 2
    np.testing.assert_allclose(terms.mse, [error[:, b].mean() for b in range(BATCH)])
    assert all(leaf.shape == (BATCH,) for leaf in jax.tree.leaves(terms))


@pytest.mark.parametrize(
    "weights", [{}, {"gamma": 2.0}, {"slot_entropy": 3.0}, {"largest_share": 3.0}]
)
def test_simulated_frames_cost_the_masks_of_their_last_decode(case, weights):
    """The last run of the case is of two simulated frames: of it no other term counts."""
    result, video = case
    inferred = result._replace(
        terms=result.terms[:1],
        frames=result.frames._replace(reconstruction=result.frames.reconstruction[:1]),
    )
    objective = dataclasses.replace(OBJECTIVE, **weights)
    expected = loss(objective, inferred, video[:, :1])
    actual = loss(dataclasses.replace(objective, num_simulated=2), result, video)
    later = jax.tree.map(lambda leaf: leaf[:, -1], result.terms[1])
    entropies = objective.gamma * later.mask_entropy
    entropies = entropies + objective.slot_entropy * shares_cost(later.areas)
    areas = np.einsum("j,tjbk->bk", np.arange(1, 4) / 3, result.terms[0].areas)
    alone, together = map(largest_share_cost, (areas, areas + later.areas.sum(0)))
    total = expected.total + entropies.sum(0) + objective.largest_share * (together - alone)
    np.testing.assert_allclose(actual.total, total, rtol=1e-12)
    same = [leaf for name, leaf in expected._asdict().items() if name != "total"]
    for a, b in zip(list(actual)[1:], same, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_negative_number_of_simulated_frames_is_refused():
    with pytest.raises(ValueError, match="num_simulated must not be negative, got -1"):
        dataclasses.replace(OBJECTIVE, num_simulated=-1)


def test_unknown_step_weights_are_refused():
    with pytest.raises(ValueError, match=r"step_weights: expected one of .*, got 'cubic'"):
        dataclasses.replace(OBJECTIVE, step_weights="cubic")


def test_the_largest_share_is_of_the_clip_not_of_each_frame(case):
    """A ground that passes to another slot costs more than one that stays, an entropy does not."""
    stays = np.broadcast_to([18.0, 1.0, 1.0], (2, 2, BATCH, SLOTS))
    passes = np.stack([stays[0], stays[1][..., [1, 0, 2]]])

    def total(areas, **weights):
        terms = (case[0].terms[0], case[0].terms[1]._replace(areas=areas))
        return loss(
            dataclasses.replace(OBJECTIVE, **weights), case[0]._replace(terms=terms), case[1]
        ).total

    assert (total(passes, largest_share=1.0) > total(stays, largest_share=1.0)).all()
    np.testing.assert_allclose(total(passes, slot_entropy=1.0), total(stays, slot_entropy=1.0))
