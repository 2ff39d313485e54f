"""Oracles: closed forms in NumPy float64, and central differences of the inner loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from stiid.method.elbo import Context, ElboWeights, evaluate, evaluate_with_gradients
from stiid.method.likelihood import assigned_nll
from stiid.method.refinement import Cell, FrameStart, refine
from stiid.shapes import Gaussian, LSTMState

pytestmark = pytest.mark.usefixtures("float64")

WEIGHTS = ElboWeights(beta=7.0, psi=0.5)
EXACT = {"rtol": 1e-9, "atol": 1e-9}


_evaluate = jax.jit(evaluate, static_argnums=0)
_evaluate_with_gradients = jax.jit(evaluate_with_gradients, static_argnums=0)


class Case:
    """A model with everything that an evaluation of two videos with three slots needs."""

    def __init__(self, model, params, *, batch=2, slots=3):
        rng = np.random.default_rng(0)
        self.model, self.params = model, jax.tree.map(jnp.asarray, params)

        def normal(size):
            return jnp.asarray(rng.normal(size=(batch, slots, size)))

        self.posterior = Gaussian(normal(4), normal(4))
        self.context = Context(Gaussian(normal(4), normal(4)), normal(6))
        self.noise = normal(4)
        self.frame = jnp.asarray(rng.random((batch, 8, 8, model.decoder.channels)))

    def evaluate(self, posterior):
        return _evaluate(self.model, self.params, posterior, self.context, self.frame, self.noise)

    def gradients(self, weights=WEIGHTS):
        inputs = self.params, self.posterior, self.context, self.frame, self.noise
        return _evaluate_with_gradients(self.model, *inputs, weights)

    def mixture(self):
        settings = self.model.inference
        return {"variance": settings.variance, "mixture": settings.mixture}


@pytest.fixture
def make_case(make_model, random_params):
    """Build a case; some keywords are of ``Case``, the others of ``make_model``."""

    def make(*, batch=2, slots=3, **switches):
        model = make_model(kernel_size=1, **switches)
        return Case(model, random_params(model), batch=batch, slots=slots)

    return make


@pytest.fixture(params=[("pixel", "free"), ("channel", "free"), ("pixel", "mean")])
def case(request, make_case):
    mixture, appearance = request.param
    return make_case(mixture=mixture, appearance=appearance)


def test_terms_are_those_of_scipy(case):
    evaluation, _ = case.gradients()
    constant = -1.5 * np.log(2 * np.pi * case.model.inference.variance)
    expected = oracles.log_likelihood(
        np.asarray(case.frame), evaluation.decoded.means, evaluation.masks, **case.mixture()
    )
    np.testing.assert_allclose(evaluation.log_likelihood + constant, expected, **EXACT)
    np.testing.assert_allclose(evaluation.nll, -(expected - constant).sum((1, 2)), **EXACT)
    expected = oracles.kl_divergence(case.posterior, case.context.prior)
    np.testing.assert_allclose(evaluation.kl, expected, **EXACT)
    logits = np.exp(evaluation.decoded.logits)
    np.testing.assert_allclose(evaluation.masks, logits / logits.sum(1, keepdims=True), **EXACT)


def test_evaluation_is_the_same_with_and_without_gradients(case):
    plain, (with_gradients, _) = case.evaluate(case.posterior), case.gradients()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), plain, with_gradients)


def test_assigned_nll_bounds_nll_and_is_tight_at_the_posterior_of_the_assignment(case):
    evaluation, options = case.evaluate(case.posterior), case.model.inference
    logits, exponents = evaluation.decoded.logits, np.asarray(evaluation.exponents)
    shares = np.random.default_rng(2).dirichlet(np.ones(3), size=(2, 8, 8))
    shares = np.moveaxis(shares, -1, 1)[..., None]
    bound = assigned_nll(options, evaluation.exponents, logits, jnp.asarray(shares))
    mixtures = 3 if options.mixture == "channel" else 1
    distance = mixtures * (np.log(shares) - np.log(evaluation.masks))
    expected = (shares * (distance - exponents.sum(-1, keepdims=True))).sum((1, 2, 3, 4))
    np.testing.assert_allclose(bound, expected, **EXACT)
    assert (bound > evaluation.nll).all()
    if options.mixture == "pixel":
        joint = np.asarray(evaluation.masks) * np.exp(exponents.sum(-1, keepdims=True))
        best = jnp.asarray(joint / joint.sum(1, keepdims=True))
        tight = assigned_nll(options, evaluation.exponents, logits, best)
        np.testing.assert_allclose(tight, evaluation.nll, **EXACT)


def test_image_gradients_are_the_closed_forms(case):
    evaluation, grads = case.gradients()
    by_means, by_masks = oracles.nll_gradients(
        np.asarray(case.frame),
        np.asarray(evaluation.decoded.means),
        np.asarray(evaluation.masks),
        **case.mixture(),
    )
    np.testing.assert_allclose(grads.means, WEIGHTS.beta * by_means, **EXACT)
    np.testing.assert_allclose(grads.masks, WEIGHTS.beta * by_masks, **EXACT)


@pytest.mark.parametrize("field", ["mean", "log_var"])
def test_posterior_gradient_is_the_central_difference(case, field):
    def loss(step, direction):
        value = getattr(case.posterior, field) + step * direction
        evaluation = case.evaluate(case.posterior._replace(**{field: value}))
        return (WEIGHTS.beta * evaluation.nll + WEIGHTS.psi * evaluation.kl.sum(-1)).sum()

    _, grads = case.gradients()
    gradient, rng = getattr(grads.posterior, field), np.random.default_rng(1)
    for _ in range(3):
        direction, h = rng.normal(size=gradient.shape), 1e-5
        slope = (loss(h, direction) - loss(-h, direction)) / (2 * h)
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-6)


def test_one_slot_and_one_channel_is_linear_regression(make_case):
    case = make_case(slots=1, channels=1)
    evaluation, grads = case.gradients(ElboWeights(beta=2.0, psi=0.0))
    error = evaluation.decoded.means - case.frame[:, None]
    np.testing.assert_allclose(grads.means, 2.0 * error / 0.3, **EXACT)
    np.testing.assert_allclose(grads.masks, np.full((2, 1, 8, 8, 1), -2.0), **EXACT)  # −β/m, m = 1


def test_kl_alone_moves_the_posterior_to_its_prior(case):
    _, grads = case.gradients(ElboWeights(beta=0.0, psi=3.0))
    (mean, log_var), (prior_mean, prior_log_var) = case.posterior, case.context.prior
    precision = np.exp(-prior_log_var)
    expected = 3.0 * (mean - prior_mean) * precision
    np.testing.assert_allclose(grads.posterior.mean, expected, **EXACT)
    expected = 1.5 * (np.exp(log_var) * precision - 1.0)
    np.testing.assert_allclose(grads.posterior.log_var, expected, **EXACT)
    assert not grads.means.any()
    assert not grads.masks.any()


def test_gradients_of_a_video_do_not_depend_on_its_batch(make_case):
    case, row = (make_case(batch=8) for _ in range(2))
    for name in ("posterior", "context", "noise", "frame"):
        setattr(row, name, jax.tree.map(lambda x: x[3:4], getattr(case, name)))
    first = jax.tree.map(lambda x: x[3:4], case.gradients())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), first, row.gradients())


def test_without_a_frame_the_reconstruction_stands_in(case):
    evaluation = case.evaluate(case.posterior)
    case.frame = (evaluation.masks * evaluation.decoded.means).sum(1)
    expected = case.evaluate(case.posterior)
    case.frame = None
    actual = case.evaluate(case.posterior)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), actual, expected)


@pytest.mark.parametrize("generation", [True, False])
def test_decoder_sees_the_temporal_state_with_generation_only(make_case, generation):
    case = make_case(generation=generation)
    means = case.evaluate(case.posterior).decoded.means
    case.context = case.context._replace(h=case.context.h + 1.0)
    changed = case.evaluate(case.posterior).decoded.means
    assert (np.abs(changed - means).max() > 1e-3) == generation


# --- what is constant for the outer gradient ------------------------------------------------------


def refined(case, model, params, posterior):
    """The cell after one refinement, its terms, and its result."""
    state = LSTMState(case.context.h, -case.context.h)
    cell = Cell(posterior, state, jnp.array(False))
    start = FrameStart(posterior, posterior, case.context.prior, state)
    return refine(model, params, cell, start, case.frame, case.noise, WEIGHTS)


def test_gradients_are_constants_for_the_outer_gradient(case):
    @jax.jit
    @jax.grad
    def outer(trained):
        case.params, case.posterior = trained
        _, grads = case.gradients()
        return sum(leaf.sum() for leaf in jax.tree.leaves(grads))

    assert all(not leaf.any() for leaf in jax.tree.leaves(outer((case.params, case.posterior))))


@pytest.mark.slow
def test_outer_gradient_is_that_with_the_inner_gradients_as_numbers(make_case, monkeypatch):
    case = make_case()

    def total(params):
        cell, terms, _ = refined(case, case.model, params, case.posterior)
        return sum((leaf**2).sum() for leaf in jax.tree.leaves((*cell[:2], terms.nll)))

    _, numbers = case.gradients()
    actual = jax.jit(jax.grad(total))(case.params)

    def with_numbers(model, params, posterior, context, frame, noise, weights, *, first):
        del weights, first
        return evaluate(model, params, posterior, context, frame, noise), numbers

    monkeypatch.setattr("stiid.method.refinement.evaluate_with_gradients", with_numbers)
    expected = jax.jit(jax.grad(lambda params: total(params)))(case.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), actual, expected)


class ReadOut:
    """Stands in for the refinement network: its new state holds a number for each input."""

    lstm_features = 6

    def apply(self, variables, frame, images, vectors, refinement, time, shared):
        del variables, frame, refinement, time, shared
        # Plain sums over pixels or slots of what is normalized over them would be constant.
        ramp = jnp.linspace(0.0, 1.0, images[..., 0].size).reshape(*images.shape[:4], 1)
        state = LSTMState(
            (images * ramp).sum((0, 1, 2, 3)), (vectors * ramp[:, :, 0, 0]).sum((0, 1))
        )
        return Gaussian(jnp.zeros_like(vectors[..., :4]), jnp.zeros_like(vectors[..., :4])), state


def test_gradients_and_log_likelihood_enter_the_refiner_as_constants(make_case):
    case = make_case()
    model = dataclasses.replace(case.model, refiner=ReadOut())

    @jax.jit
    @jax.jacrev
    def jacobian(trained):
        return refined(case, model, *trained)[0].state

    def moved(jacobian):
        """Which inputs any parameter, or the posterior, moves."""
        leaves = [np.abs(leaf).reshape(len(leaf), -1).max(-1) for leaf in jax.tree.leaves(jacobian)]
        return [i for i, size in enumerate(np.max(leaves, axis=0)) if size > 1e-6]

    images, vectors = jacobian((case.params, case.posterior))
    # μ_x 0–2, m 3, logits 4, ∇_{μ_x}L 5–7, ∇_m L 8, posterior mask 9, log p 10.
    assert moved(images) == [0, 1, 2, 3, 4, 9]
    assert moved(vectors) == list(range(8))  # λ, but not ∇_λ L
