"""Oracle: Eq. 7 written out in float64 NumPy, term by term."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import tiny
from scipy.stats import entropy

from stiid.method.inference import VideoResult
from stiid.method.likelihood import LikelihoodOptions
from stiid.method.objective import loss, step_weights
from stiid.method.refinement import FrameResult, FrameStart, Terms, score
from stiid.shapes import Decoded, Gaussian, LSTMState

LIKELIHOOD = LikelihoodOptions(variance=0.3)
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
    masks = np.moveaxis(rng.dirichlet(np.ones(SLOTS), size=(3, BATCH, 4, 5)), -1, 2)
    means = rng.random((3, BATCH, SLOTS, 4, 5, 3))
    frames = FrameResult(rng.random((3, BATCH, 4, 5, 3)), masks, means, None, None)
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
    np.testing.assert_allclose(loss(objective, LIKELIHOOD, *case).total, expected, rtol=1e-12)


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
    np.testing.assert_allclose(loss(objective, LIKELIHOOD, *case).total, expected, rtol=1e-12)


# --- worked by hand -------------------------------------------------------------------------------

X = np.array([0.0, 1.0]).reshape(1, 1, 2, 1)  # two pixels of one channel
MEANS = np.array([[0.0, 1.0], [1.0, 1.0]]).reshape(1, 2, 1, 2, 1)  # of two slots
MASKS = np.array([[1 / 4, 1 / 2], [3 / 4, 1 / 2]]).reshape(1, 2, 1, 2, 1)


class Painter:
    """Stands in for the decoder: paints MEANS with MASKS, their logits times a parameter."""

    def apply(self, variables, z, h):
        del z, h
        return Decoded(jnp.asarray(MEANS), variables["params"] * jnp.log(MASKS))


def painted_total(make_model, objective, *, evaluations=1, sharpness=1.0):
    """The loss of X, evaluated so many times by means and masks of the painter.

    The posterior of slot 0 has mean 1 and that of slot 1 mean 0, of one dimension; all else is 0.
    """
    model = dataclasses.replace(make_model(variance=0.5), decoder=Painter())
    zeros = jnp.zeros((1, 2, 1))
    posterior = Gaussian(zeros.at[0, 0, 0].set(1.0), zeros)
    start = FrameStart(posterior, posterior, Gaussian(zeros, zeros), LSTMState(zeros, zeros))
    params = {"decoder": jnp.asarray(sharpness)}
    terms, frame = score(model, params, posterior, start, jnp.asarray(X), zeros)
    terms = jax.tree.map(lambda x: jnp.stack([x] * evaluations)[None], terms)  # one frame
    result = VideoResult((terms,), jax.tree.map(lambda x: x[None], frame), None)
    (total,) = loss(objective, model.inference, result, X[:, None]).total
    return total


@pytest.mark.parametrize(("evaluations", "expected"), [(1, 7.5518080), (2, 11.3277121)])
def test_eq_7_worked_by_hand(make_model, evaluations, expected):
    """β = 10, ψ = 2, γ = 0.1, σ² = 1/2, so that densities are exp(−(x − μ)²).

    Pixel 0: log(1/4 + 3/4 e⁻¹) = −0.6426260; pixel 1: log 1 = 0.
    KL: slot 0, N(1, 1) from N(0, 1): 1/2; slot 1: 0.
    Entropies of the masks: H(1/4, 3/4) = 0.5623351 and log 2 = 0.6931472, together 1.2554823.
    10 · 0.6426260 + 2 · 1/2 + 0.1 · 1.2554823 = 7.5518080, times 1/2 + 2/2 for two evaluations.
    """
    objective = dataclasses.replace(OBJECTIVE, beta=10.0, psi=2.0, gamma=0.1)
    total = painted_total(make_model, objective, evaluations=evaluations)
    assert total == pytest.approx(expected, rel=1e-7)


def test_positive_gamma_prefers_sharp_masks(make_model):
    """Eq. 7 as printed: the maximized objective gains γ Σ m log m; sharper masks cost less."""

    def total(gamma, sharpness):
        objective = dataclasses.replace(OBJECTIVE, beta=0.0, psi=0.0, gamma=gamma)
        return painted_total(make_model, objective, sharpness=sharpness)

    assert total(0.1, 2.0) < total(0.1, 1.0) < total(0.1, 0.5)
    assert total(-0.1, 2.0) > total(-0.1, 1.0) > total(-0.1, 0.5)


# --- terms and options ----------------------------------------------------------------------------


def test_terms_are_means_over_the_last_decodes(case):
    result, video = case
    terms = loss(OBJECTIVE, LIKELIHOOD, *case)
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
    """The last run of the case is of two simulated frames: of it no other term counts.

    Beside β times their negative log-likelihood against the true frames.
    """
    result, video = case
    inferred = result._replace(
        terms=result.terms[:1],
        frames=result.frames._replace(reconstruction=result.frames.reconstruction[:1]),
    )
    objective = dataclasses.replace(OBJECTIVE, **weights)
    expected = loss(objective, LIKELIHOOD, inferred, video[:, :1])
    actual = loss(dataclasses.replace(objective, num_simulated=2), LIKELIHOOD, result, video)
    constant = -1.5 * np.log(2 * np.pi * LIKELIHOOD.variance)
    nll = constant * 2 * PIXELS - sum(
        oracles.log_likelihood(
            video[:, t],
            result.frames.means[t],
            result.frames.masks[t, ..., None],
            variance=LIKELIHOOD.variance,
            mixture=LIKELIHOOD.mixture,
        ).sum((1, 2))
        for t in (1, 2)
    )
    later = jax.tree.map(lambda leaf: leaf[:, -1], result.terms[1])
    entropies = objective.gamma * later.mask_entropy
    entropies = entropies + objective.slot_entropy * shares_cost(later.areas)
    areas = np.einsum("j,tjbk->bk", np.arange(1, 4) / 3, result.terms[0].areas)
    alone, together = map(largest_share_cost, (areas, areas + later.areas.sum(0)))
    total = expected.total + entropies.sum(0) + objective.largest_share * (together - alone)
    total = total + objective.beta * nll
    np.testing.assert_allclose(actual.total, total, rtol=1e-12)
    tiny.assert_same(actual, expected._replace(total=actual.total))


def test_a_negative_number_of_simulated_frames_is_refused():
    with pytest.raises(ValueError, match="num_simulated must not be negative, got -1"):
        dataclasses.replace(OBJECTIVE, num_simulated=-1)


def test_unknown_step_weights_are_refused():
    with pytest.raises(ValueError, match=r"step_weights: expected one of .*, got 'cubic'"):
        dataclasses.replace(OBJECTIVE, step_weights="cubic")


def test_the_largest_share_is_of_the_clip_not_of_each_frame(case):
    """A background that passes to another slot costs more than one that stays, by this alone."""
    stays = np.broadcast_to([18.0, 1.0, 1.0], (2, 2, BATCH, SLOTS))
    passes = np.stack([stays[0], stays[1][..., [1, 0, 2]]])

    def total(areas, **weights):
        terms = (case[0].terms[0], case[0].terms[1]._replace(areas=areas))
        result = case[0]._replace(terms=terms)
        return loss(dataclasses.replace(OBJECTIVE, **weights), LIKELIHOOD, result, case[1]).total

    assert (total(passes, largest_share=1.0) > total(stays, largest_share=1.0)).all()
    np.testing.assert_allclose(total(passes, slot_entropy=1.0), total(stays, slot_entropy=1.0))
