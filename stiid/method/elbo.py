"""One evaluation of the ELBO of a frame, and its gradients for the refinement network."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from stiid.method import latents, likelihood
from stiid.method.networks import Inference, SlotModel
from stiid.shapes import Array, Decoded, Gaussian, Params

# What the gradients below are called where rematerialization keeps them.
INNER_GRADIENTS = "inner_gradients"


class ElboWeights(NamedTuple):
    """β of the likelihood and ψ of the KL divergence."""

    beta: float | Array
    psi: float | Array


class Context(NamedTuple):
    """What the past says of a frame; constant over its refinements."""

    prior: Gaussian  # p(z_t | x_<t, z_<t)
    h: Array  # [B, K, M] temporal hidden state h_{t−1,R̂}


class ElboEvaluation(NamedTuple):
    """One ELBO evaluation of a frame and the decode that it rests on."""

    decoded: Decoded
    masks: Array  # [B, K, H, W, 1]
    exponents: Array  # [B, K, H, W, C] see likelihood.slot_exponents
    log_likelihood: Array  # [B, H, W]
    nll: Array  # [B] −log p(x|z) without its constant, nats
    kl: Array  # [B, K] nats


class Gradients(NamedTuple):
    """∇L of one evaluation, L summed over the batch, scaled and clamped; constants."""

    posterior: Gaussian  # ∇_λ L
    means: Array  # ∇_{μ_x} L [B, K, H, W, C]
    masks: Array  # ∇_m L [B, K, H, W, 1]


def evaluate(
    model: SlotModel,
    params: Params,
    posterior: Gaussian,
    context: Context,
    frame: Array | None,
    noise: Array,
    nudge: tuple[Array | float, Array | float] = (0.0, 0.0),
) -> ElboEvaluation:
    """Sample, decode, and evaluate both terms of Eq. 3 for one frame.

    Args:
      model: networks and procedure.
      params: from ``init_params``.
      posterior: λ_{t,r}.
      context: prior and temporal hidden state of the frame.
      frame: x_t [B, H, W, C], or None in simulation, where x̃_t stands in for it (section 3.2.3).
      noise: ε [B, K, D].
      nudge: added to appearance and masks; the gradient with respect to it, at zero, is the
        gradient with respect to them.
    """
    z = latents.sample(posterior, noise)
    h = context.h if model.inference.generation else None
    decoded = model.decode(params, z, h)
    means, masks = decoded.means + nudge[0], likelihood.slot_masks(decoded.logits) + nudge[1]
    if frame is None:
        frame = likelihood.reconstruct(masks, means)
    exponents, log_likelihood = explain(model.inference, frame, means, masks)
    return ElboEvaluation(
        decoded=decoded,
        masks=masks,
        exponents=exponents,
        log_likelihood=log_likelihood,
        nll=-log_likelihood.sum(axis=(1, 2)),
        kl=latents.kl_divergence(posterior, context.prior),
    )


def explain(settings: Inference, frame: Array, means: Array, masks: Array) -> tuple[Array, Array]:
    """How slots [B, K, H, W, …] explain a frame [B, H, W, C]: exponents and log-likelihood.

    See ``ElboEvaluation`` for both.
    """
    exponents = likelihood.slot_exponents(frame, means, variance=settings.variance)
    mixed = likelihood.mixture_log_likelihood(exponents, masks, mixture=settings.mixture)
    return exponents, mixed


def evaluate_with_gradients(
    model: SlotModel,
    params: Params,
    posterior: Gaussian,
    context: Context,
    frame: Array,
    noise: Array,
    weights: ElboWeights,
) -> tuple[ElboEvaluation, Gradients]:
    """``evaluate``, and the gradients of L = β nll + ψ KL (minus the ELBO) for the refiner.

    L is a sum over the batch, so that a video's gradients do not depend on its batch. They are
    constants for the outer gradient: no second derivative is ever taken. See
    ``method.networks.Inference`` for their scale and clamp.
    """

    def loss(posterior: Gaussian, nudge: tuple[Array, Array]) -> tuple[Array, ElboEvaluation]:
        evaluation = evaluate(model, params, posterior, context, frame, noise, nudge)
        per_video = weights.beta * evaluation.nll + weights.psi * evaluation.kl.sum(-1)
        return per_video.sum(), evaluation

    image = (*posterior.mean.shape[:2], *frame.shape[1:3])
    nudge = (jnp.zeros((*image, frame.shape[-1])), jnp.zeros((*image, 1)))
    grads, evaluation = jax.grad(loss, argnums=(0, 1), has_aux=True)(posterior, nudge)
    grads = jax.tree.map(partial(_limit, model.inference), lax.stop_gradient(grads))
    grads = checkpoint_name(grads, INNER_GRADIENTS)
    posterior_grad, (means_grad, masks_grad) = grads
    return evaluation, Gradients(posterior_grad, means_grad, masks_grad)


def _limit(settings: Inference, gradient: Array) -> Array:
    """Scale, then clamp."""
    gradient = settings.gradient_scale * gradient
    bound = settings.gradient_clamp
    return gradient if bound is None else jnp.clip(gradient, -bound, bound)
