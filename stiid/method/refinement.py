"""One cell (t, r) of the grid: decode, evaluate, and improve the posterior (Eq. 4)."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiid.kernels.slot_sums import broadcast_slots
from stiid.method import latents, likelihood
from stiid.method.elbo import (
    Context,
    ElboEvaluation,
    ElboOptions,
    ElboWeights,
    Gradients,
    evaluate,
    evaluate_with_gradients,
)
from stiid.method.latents import LatentOptions
from stiid.method.networks import SlotModel
from stiid.shapes import Array, Gaussian, LSTMState, Params

TIME_AXES = ("lstm2d", "none", "chain")


@dataclass(frozen=True, kw_only=True)
class RefinementOptions(ElboOptions, LatentOptions):
    """The refinement network's memory, and a term beside its output.

    Attributes:
      time_axis: "lstm2d": the paper's; "none": every frame starts anew (IODINE); "chain": one
        LSTM whose state and posterior go on from frame to frame (SEQ-IODINE).
      gradient_skip: *not in the paper*: initial value of s in λ ← λ + f_φ(…) − s ⊙ LN(∇_λ L), s
        trained per dimension: inference starts as normalized gradient descent and f_φ learns the
        correction. 0: none.
      result_masks: *not in the paper*: "prior": the result's masks are m of Eq. 1, which are
        decoded alone (the paper's); "posterior": ``likelihood.assignment``, which sees the frame as
        well; simulated frames, where there is none, keep m.
    """

    time_axis: str = "lstm2d"
    # Not in the paper.
    gradient_skip: float = 0.0
    result_masks: str = "prior"

    def __post_init__(self) -> None:
        """Refuse an unknown axis, and conditions on a state that is not there."""
        super().__post_init__()
        self._check_choice("time_axis", TIME_AXES)
        self._check_choice("result_masks", ("prior", "posterior"))
        self._check_finite("gradient_skip")
        if self.time_axis != "lstm2d" and (self.conditional_prior or self.generation):
            raise ValueError(
                "inference: conditional_prior and generation need the temporal hidden state of "
                f"time_axis='lstm2d', got time_axis={self.time_axis!r}"
            )


class FrameStart(NamedTuple):
    """The start of a frame's inference; the carry of the scan over time."""

    posterior: Gaussian  # λ_{t,1} of a frame that is seen
    last: Gaussian  # λ_{t−1,R̂+1}, from which a simulated frame may start; at t = 0 λ_{0,1}
    prior: Gaussian  # p(z_t | x_<t, z_<t), constant over r
    time: LSTMState  # state (t−1, R̂)
    z: Array | None = None  # the clip's sample, see ``Context``
    queries: Array | None = None  # [B, K, E] what slots look for, see ``nn.seeds``
    shares: Array | None = None  # [B, K, H, W, 1] of slots in the frame's pixels, within a frame

    @property
    def context(self) -> Context:
        """The part that evaluations of the frame need."""
        return Context(self.prior, self.time.h, self.z)


class Cell(NamedTuple):
    """The state that refinements pass on."""

    posterior: Gaussian  # λ_{t,r}
    state: LSTMState  # state (t, r−1)
    first: Array  # whether r = 1


class Terms(NamedTuple):
    """The terms of the objective from one evaluation."""

    nll: Array  # [B]
    kl: Array  # [B, K]
    mask_entropy: Array  # [B] Σ_i H(m_i), nats
    areas: Array  # [B, K] Σ_i m_i, pixels
    assigned: Array | None = None  # [B] ``likelihood.assigned_nll``, where slots start from seeds


class FrameResult(NamedTuple):
    """The outcome of a frame: its last decode and the posterior behind it."""

    reconstruction: Array  # [B, H, W, C]
    masks: Array  # [B, K, H, W], see ``RefinementOptions.result_masks``
    means: Array  # [B, K, H, W, C]
    posterior: Gaussian
    context: Context


# Traced once for all the cells of a grid that look alike.
@partial(jax.jit, static_argnums=0)
def refine(
    model: SlotModel[RefinementOptions],
    params: Params,
    cell: Cell,
    start: FrameStart,
    frame: Array | None,
    noise: Array,
    weights: ElboWeights,
    shared: Array | None = None,
) -> tuple[Cell, Terms, FrameResult]:
    """One cell (t, r): λ_{t,r+1} = λ_{t,r} + f_φ(a, h_{t,r−1}, h_{t−1,R̂}), z ~ q_λ (Eq. 4).

    The inputs a are those of IODINE: the frame and its coordinates, ``_image_inputs``, and λ and
    ∇_λ L. In simulation (``frame`` is None) the reconstruction stands in for the frame and all
    three gradients are zero (section 3.2.3). For ``shared`` see ``Refiner.frame_inputs``.

    Returns:
      The next cell; terms and result of the decode of this one, before its update.
    """
    seen = frame is not None
    if frame is None:
        evaluation = evaluate(
            model, params, cell.posterior, start.context, None, noise, first=cell.first
        )
        frame = likelihood.mix(evaluation.masks, evaluation.decoded.means)
        grads = jax.tree.map(
            jnp.zeros_like, Gradients(cell.posterior, evaluation.decoded.means, evaluation.masks)
        )
    else:
        evaluation, grads = evaluate_with_gradients(
            model, params, cell.posterior, start.context, frame, noise, weights, first=cell.first
        )
    gradient = _normalize(latents.to_vector(grads.posterior), axes=(-1,))
    images = _image_inputs(model, evaluation, grads)
    vectors = jnp.concatenate([latents.to_vector(cell.posterior), gradient], axis=-1)
    time = start.time if model.inference.time_axis == "lstm2d" else None
    states = (cell.state, time)
    delta, state = model.propose_update(params, frame, images, vectors, *states, shared)
    if model.inference.gradient_skip:
        step = latents.from_vector(params["gradient_skip"].reshape(1, 1, -1) * gradient)
        delta = jax.tree.map(jnp.subtract, delta, step)
    posterior = latents.update(model.inference, cell.posterior, delta)
    after = Cell(posterior, state, jnp.zeros_like(cell.first))
    return (
        after,
        _terms(model.inference, evaluation, start.shares),
        _result(model.inference, evaluation, cell.posterior, start, seen=seen),
    )


@partial(jax.jit, static_argnums=0)
def score(
    model: SlotModel[RefinementOptions],
    params: Params,
    posterior: Gaussian,
    start: FrameStart,
    frame: Array | None,
    noise: Array,
) -> tuple[Terms, FrameResult]:
    """The decode after the last refinement: a cell without its update."""
    evaluation = evaluate(model, params, posterior, start.context, frame, noise)
    result = _result(model.inference, evaluation, posterior, start, seen=frame is not None)
    return _terms(model.inference, evaluation, start.shares), result


def _image_inputs(
    model: SlotModel[RefinementOptions], evaluation: ElboEvaluation, grads: Gradients
) -> Array:
    """A slot's own image-sized inputs of the refinement network: [B, K, H, W, 2C + 5].

    In order: μ_x, m, mask logits, ∇_{μ_x}L, ∇_m L, posterior mask, and the log-likelihood, which
    slots share. Gradients and log-likelihood are layer-normalized constants; the rest carries
    gradients.
    """
    decoded = evaluation.decoded
    everywhere = (-3, -2, -1)
    log_likelihood = _normalize(lax.stop_gradient(evaluation.log_likelihood), axes=(-2, -1))
    slots = decoded.logits.shape[1]
    return jnp.concatenate(
        [
            decoded.means,
            evaluation.masks,
            decoded.logits,
            _normalize(grads.means, axes=everywhere),
            _normalize(grads.masks, axes=everywhere),
            likelihood.posterior_masks(evaluation.exponents, kind=model.inference.posterior_mask),
            broadcast_slots(log_likelihood[:, None, ..., None], slots),
        ],
        axis=-1,
    )


def _normalize(x: Array, *, axes: tuple[int, ...]) -> Array:
    """Layer normalization without gain or bias (ε = 1e-5)."""
    centered = x - x.mean(axes, keepdims=True)
    return centered * lax.rsqrt((centered**2).mean(axes, keepdims=True) + 1e-5)


def _result(
    options: RefinementOptions,
    evaluation: ElboEvaluation,
    posterior: Gaussian,
    start: FrameStart,
    *,
    seen: bool,
) -> FrameResult:
    masks = evaluation.masks
    if seen and options.result_masks == "posterior":
        masks = likelihood.assignment(evaluation.exponents, evaluation.decoded.logits)
    return FrameResult(
        reconstruction=likelihood.mix(evaluation.masks, evaluation.decoded.means),
        masks=masks[..., 0],
        means=evaluation.decoded.means,
        posterior=posterior,
        context=start.context,
    )


def _terms(options: RefinementOptions, evaluation: ElboEvaluation, shares: Array | None) -> Terms:
    logits = evaluation.decoded.logits
    log_masks = likelihood.log_slot_masks(logits)
    masks = jnp.exp(log_masks)
    assigned = None
    if shares is not None:
        assigned = likelihood.assigned_nll(options, evaluation.exponents, logits, shares)
    return Terms(
        nll=evaluation.nll,
        kl=evaluation.kl,
        mask_entropy=-(masks * log_masks).sum(axis=(1, 2, 3, 4)),
        areas=masks.sum(axis=(2, 3, 4)),
        assigned=assigned,
    )
