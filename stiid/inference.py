"""Spatio-temporal iterative inference: cell → frame → video (section 3.2, Fig. 2a).

A *cell* (t, r) samples z from the current posterior, decodes it, evaluates the ELBO, takes the
gradients of the ELBO at the posterior and at the decoded image, and lets the refinement network
turn all of it into a better posterior (``refine``). A *frame* is R̂_t cells and one last decode
(``infer_frame``). A *video* is a ``lax.scan`` over frames for each run of equal R̂
(``infer_video``). All are pure functions of parameters, pixels and noise.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from stiid import latents, likelihood
from stiid.elbo import (
    Context,
    ElboWeights,
    Evaluation,
    Gradients,
    evaluate,
    evaluate_with_gradients,
)
from stiid.grid import Run, runs, schedule
from stiid.model import Model
from stiid.nn.positions import positions
from stiid.shapes import Array, Gaussian, LSTMState, Params


class FrameStart(NamedTuple):
    """What inference of a frame starts from; the carry of the scan over time."""

    posterior: Gaussian  # λ_{t,1}
    prior: Gaussian  # p(z_t | x_<t, z_<t), constant over r
    time: LSTMState  # state (t−1, R̂)

    @property
    def context(self) -> Context:
        """What evaluations of the frame need of it."""
        return Context(self.prior, self.time.h)


class Cell(NamedTuple):
    """The state that refinements pass on."""

    posterior: Gaussian  # λ_{t,r}
    state: LSTMState  # state (t, r−1)


class Terms(NamedTuple):
    """What the objective needs of one evaluation."""

    nll: Array  # [B]
    kl: Array  # [B, K]
    mask_entropy: Array  # [B] Σ_i H(m_i), nats
    slot_entropy: Array  # [B] H·W × entropy of the slots' shares of the image, nats


class FrameResult(NamedTuple):
    """The outcome of a frame: its last decode and the posterior behind it."""

    reconstruction: Array  # [B, H, W, C]
    masks: Array  # [B, K, H, W]
    means: Array  # [B, K, H, W, C]
    posterior: Gaussian
    context: Context


class VideoResult(NamedTuple):
    """``infer_video``'s outcome, time-major."""

    terms: tuple[Terms, ...]  # per run of equal R̂: leaves [frames, evaluations of a frame, …]
    frames: FrameResult  # leaves [T, …]
    last: FrameStart  # where inference of the next frame would start


def first_frame(model: Model, params: Params, *, batch: int, num_slots: int) -> FrameStart:
    """Where inference of frame 0 starts: the learned λ, the first prior, zero states."""
    slots = (batch, num_slots)
    vector = jnp.broadcast_to(params["posterior"], (*slots, params["posterior"].shape[-1]))
    zeros = jnp.zeros((*slots, model.refiner.lstm_features))
    if model.inference.conditional_prior and model.inference.first_prior == "learned":
        prior = model.predict_prior(params, zeros)
    else:
        prior = latents.standard_normal((*slots, model.prior.latent_size))
    return FrameStart(latents.from_vector(vector), prior, LSTMState(zeros, zeros))


def refine(
    model: Model,
    params: Params,
    cell: Cell,
    start: FrameStart,
    frame: Array | None,
    noise: Array,
    weights: ElboWeights,
) -> tuple[Cell, Terms, Evaluation]:
    """One cell (t, r): evaluate, then update the posterior by the refinement network (Eq. 4).

    In simulation (``frame`` is None) the reconstruction stands in for the frame and all three
    gradients are zero (section 3.2.3).
    """
    if frame is None:
        evaluation = evaluate(model, params, cell.posterior, start.context, None, noise)
        frame = likelihood.reconstruct(evaluation.masks, evaluation.decoded.means)
        grads = jax.tree.map(
            jnp.zeros_like, Gradients(cell.posterior, evaluation.decoded.means, evaluation.masks)
        )
    else:
        evaluation, grads = evaluate_with_gradients(
            model, params, cell.posterior, start.context, frame, noise, weights
        )
    settings = model.inference
    gradient = _normalize(latents.to_vector(grads.posterior), axes=(-1,))
    images = _image_inputs(model, evaluation, grads, frame)
    vectors = jnp.concatenate([latents.to_vector(cell.posterior), gradient], axis=-1)
    time = start.time if settings.time_axis == "lstm2d" else None
    delta, state = model.propose_update(params, images, vectors, cell.state, time)
    if settings.gradient_skip is not None:
        step = latents.from_vector(params["gradient_skip"].reshape(1, 1, -1) * gradient)
        delta = jax.tree.map(jnp.subtract, delta, step)
    posterior = latents.update(
        cell.posterior, delta, clamp=settings.delta_clamp, log_var_range=settings.log_var_range
    )
    return Cell(posterior, state), _terms(evaluation), evaluation


def infer_frame(
    model: Model,
    params: Params,
    start: FrameStart,
    frame: Array | None,
    noise: Array,
    weights: ElboWeights,
) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
    """One column of the grid: refine R̂ times, then (``last_decode``) decode once more.

    Args:
      model: networks and procedure.
      params: from ``init_params``.
      start: from ``first_frame`` or the previous frame.
      frame: x_t [B, H, W, C], or None to simulate the frame.
      noise: ε [R̂ + 1, B, K, D]; its length says how often to refine. The last row is for the
        decode after the last refinement.
      weights: β and ψ.

    Returns:
      Where the next frame starts; the terms of all evaluations, stacked; the result, which belongs
      to the last of them.
    """
    settings = model.inference
    if frame is None and settings.simulation_start == "prior":
        start = start._replace(posterior=start.prior)
    idle = jax.tree.map(jnp.zeros_like, start.time)
    cell = Cell(start.posterior, start.time if settings.time_axis == "chain" else idle)
    keep = jax.checkpoint if settings.remat else _keep_activations
    step, last = keep(partial(refine, model)), keep(partial(evaluate, model))
    terms = []
    for r in range(noise.shape[0] - 1):
        scored = cell.posterior
        cell, cell_terms, final = step(params, cell, start, frame, noise[r], weights)
        terms.append(cell_terms)
    if settings.last_decode:
        scored = cell.posterior
        final = last(params, scored, start.context, frame, noise[-1])
        terms.append(_terms(final))
    result = FrameResult(
        reconstruction=likelihood.reconstruct(final.masks, final.decoded.means),
        masks=final.masks[..., 0],
        means=final.decoded.means,
        posterior=scored,
        context=start.context,
    )
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *terms)
    return _next_frame(model, params, cell), (stacked, result)


def infer_video(
    model: Model,
    params: Params,
    video: Array,
    noise: Array,
    weights: ElboWeights,
    *,
    num_simulated: int = 0,
) -> VideoResult:
    """Infer all frames of a batch of videos, then simulate some more.

    Args:
      model: networks and procedure.
      params: from ``init_params``.
      video: [B, T, H, W, C] in [0, 1].
      noise: ε [T + num_simulated, R + 1, B, K, D]; frame t uses the first R̂_t + 1 of its row, the
        last of those for its last decode. Its K is the number of slots.
      weights: β and ψ.
      num_simulated: frames to simulate after the last one (section 3.2.3).
    """
    settings = model.inference
    batch, num_frames, *image = video.shape
    chex.assert_shape(video, (None, None, model.decoder.height, model.decoder.width, image[-1]))
    num_slots = noise.shape[3]
    total = num_frames + num_simulated
    chex.assert_shape(
        noise, (total, settings.refinements + 1, batch, num_slots, model.prior.latent_size)
    )
    plan = schedule(settings.grid, refinements=settings.refinements, num_frames=total)
    frames = jnp.swapaxes(video, 0, 1)
    start = first_frame(model, params, batch=batch, num_slots=num_slots)

    def step(
        start: FrameStart, inputs: tuple[Array | None, Array]
    ) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
        return infer_frame(model, params, start, *inputs, weights)

    def scan(
        start: FrameStart, run: Run, frames: Array | None
    ) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
        rows = noise[run.start : run.start + run.length, : run.refinements + 1]
        return lax.scan(step, start, (frames, rows), length=run.length)

    outputs = []
    for run in runs(plan[:num_frames]):
        start, output = scan(start, run, frames[run.start : run.start + run.length])
        outputs.append(output)
    for run in runs(plan[num_frames:]):
        start, output = scan(start, run._replace(start=run.start + num_frames), None)
        outputs.append(output)
    terms, results = zip(*outputs, strict=True)
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *results)
    return VideoResult(terms, joined, start)


def _keep_activations(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _next_frame(model: Model, params: Params, cell: Cell) -> FrameStart:
    """What the next frame starts from, after the last refinement of this one."""
    settings, (batch, num_slots) = model.inference, cell.posterior.mean.shape[:2]
    if settings.time_axis == "none":
        return first_frame(model, params, batch=batch, num_slots=num_slots)
    if settings.conditional_prior:
        prior = model.predict_prior(params, cell.state.h)
    else:
        prior = latents.standard_normal(cell.posterior.mean.shape)
    posterior = prior if settings.posterior_start == "prior" else cell.posterior
    return FrameStart(posterior, prior, cell.state)


def _image_inputs(model: Model, evaluation: Evaluation, grads: Gradients, frame: Array) -> Array:
    """The image-sized inputs of the refinement network: [B, K, H, W, 3C + 7].

    In order: x, μ_x, m, mask logits, ∇_{μ_x}L, ∇_m L, posterior mask, log-likelihood, coordinates.
    Gradients and log-likelihood are layer-normalized constants; the rest carries gradients.
    """
    decoded = evaluation.decoded
    everywhere = (-3, -2, -1)
    log_likelihood = _normalize(lax.stop_gradient(evaluation.log_likelihood), axes=(-2, -1))
    shared = [frame, log_likelihood[..., None], positions(*frame.shape[1:3])[None]]
    slots = decoded.means.shape[:2]
    x, log_likelihood, grid = (
        jnp.broadcast_to(image[:, None], (*slots, *image.shape[1:])) for image in shared
    )
    return jnp.concatenate(
        [
            x,
            decoded.means,
            evaluation.masks,
            decoded.logits,
            _normalize(grads.means, axes=everywhere),
            _normalize(grads.masks, axes=everywhere),
            likelihood.posterior_masks(evaluation.exponents, kind=model.inference.posterior_mask),
            log_likelihood,
            grid,
        ],
        axis=-1,
    )


def _normalize(x: Array, *, axes: tuple[int, ...]) -> Array:
    """Layer normalization without gain or bias (ε = 1e-5)."""
    centered = x - x.mean(axes, keepdims=True)
    return centered * lax.rsqrt((centered**2).mean(axes, keepdims=True) + 1e-5)


def _terms(evaluation: Evaluation) -> Terms:
    log_masks = jax.nn.log_softmax(evaluation.decoded.logits, axis=1)
    masks = jnp.exp(log_masks)
    shares = masks.mean(axis=(2, 3, 4))
    return Terms(
        nll=evaluation.nll,
        kl=evaluation.kl,
        mask_entropy=-(masks * log_masks).sum(axis=(1, 2, 3, 4)),
        slot_entropy=-(shares * jnp.log(shares + 1e-12)).sum(-1) * masks[0, 0].size,
    )
