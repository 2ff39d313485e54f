"""One evaluation of the ELBO of a frame (Eq. 3), and its gradients for the refinement network."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from stiid.method import generation, latents, likelihood
from stiid.method.generation import GenerationOptions
from stiid.method.likelihood import LikelihoodOptions
from stiid.method.networks import SlotModel
from stiid.shapes import Array, Decoded, Gaussian, Params

# Under this name rematerialization keeps the gradients below.
INNER_GRADIENTS = "inner_gradients"


@dataclass(frozen=True, kw_only=True)
class ElboOptions(LikelihoodOptions, GenerationOptions):
    """The gradients that the refinement network sees, beside the two terms of Eq. 3.

    Attributes:
      gradient_clamp: bound on the three gradients, after their scale and before their layer
        normalization, or None. Appendix A.3: 10 for SEQ-IODINE on binary balls beyond the training
        length.
      gradient_scale: *not in the paper*: factor on the gradients before their layer normalization,
        whose ε = 1e-5 does not let small ones forget it. 1: the loss is summed over the batch;
        1/N: the mean over N videos (*authors' code*: N is the batch of one device in training).
    """

    gradient_clamp: float | None = None
    # Not in the paper.
    gradient_scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a bound or factor that is not positive."""
        super().__post_init__()
        self._check_positive("gradient_clamp", "gradient_scale")


class ElboWeights(NamedTuple):
    """β of the likelihood and ψ of the KL divergence.

    γ of the masks' entropy, or None: *authors' code* alone, see ``Objective.inner_entropy``.
    """

    beta: float | Array
    psi: float | Array
    gamma: float | Array | None = None


class Context(NamedTuple):
    """The past's conditions on a frame; constant over its refinements."""

    prior: Gaussian  # p(z_t | x_<t, z_<t)
    h: Array  # [B, K, M] temporal hidden state h_{t−1,R̂}
    z: Array | None = None  # [B, K, D] the clip's sample, see ``inference.Inference.first_sample``


class ElboEvaluation(NamedTuple):
    """One ELBO evaluation of a frame, with the decoded slots."""

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
    model: SlotModel[ElboOptions],
    params: Params,
    posterior: Gaussian,
    context: Context,
    frame: Array | None,
    noise: Array,
    *,
    first: Array | bool = False,
) -> ElboEvaluation:
    """Sample, decode, and evaluate both terms of Eq. 3 for one frame.

    Args:
      model: networks and options.
      params: from ``parameters.init_params``.
      posterior: λ_{t,r}.
      context: prior and temporal hidden state of the frame.
      frame: x_t [B, H, W, C], or None in simulation, where x̃_t stands in for it (section 3.2.3).
      noise: ε [B, K, D].
      first: the evaluation is the frame's first one, whose z is the clip's sample if there is one.
    """
    (means, masks), decoded = _decode(model, params, posterior, context, noise, first)
    if frame is None:
        frame = likelihood.mix(masks, means)
    return _evaluate(model.inference, decoded, means, masks, posterior, context.prior, frame)


def evaluate_with_gradients(
    model: SlotModel[ElboOptions],
    params: Params,
    posterior: Gaussian,
    context: Context,
    frame: Array,
    noise: Array,
    weights: ElboWeights,
    *,
    first: Array | bool = False,
) -> tuple[ElboEvaluation, Gradients]:
    """``evaluate``, and the gradients of L = −β log p(x|z) + ψ KL, the negative ELBO of Eq. 3.

    By the chain rule, with appearance μ_x and masks m decoded from λ:
    ∇_λ L = (∂μ_x/∂λ)ᵀ ∇_{μ_x} L + (∂m/∂λ)ᵀ ∇_m L + ψ ∇_λ KL.

    L is a sum over the batch, so that a video's gradients do not depend on its batch. They are
    constants for the outer gradient: no second derivative is ever taken.
    """
    decode = partial(_decode, model, params, context=context, noise=noise, first=first)
    (means, masks), pullback, decoded = jax.vjp(decode, posterior, has_aux=True)

    def negative_elbo(
        means: Array, masks: Array, posterior: Gaussian
    ) -> tuple[Array, ElboEvaluation]:
        evaluation = _evaluate(
            model.inference, decoded, means, masks, posterior, context.prior, frame
        )
        per_video = weights.beta * evaluation.nll + weights.psi * evaluation.kl.sum(-1)
        if weights.gamma is not None:
            per_video += weights.gamma * likelihood.mask_entropy(masks)
        return per_video.sum(), evaluation

    (d_means, d_masks, d_kl), evaluation = jax.grad(negative_elbo, (0, 1, 2), has_aux=True)(
        means, masks, posterior
    )
    (d_decoded,) = pullback((d_means, d_masks))
    d_posterior = jax.tree.map(jnp.add, d_decoded, d_kl)

    gradients = lax.stop_gradient(Gradients(d_posterior, d_means, d_masks))
    gradients = jax.tree.map(partial(_limit, model.inference), gradients)
    return evaluation, checkpoint_name(gradients, INNER_GRADIENTS)


def _decode(
    model: SlotModel[ElboOptions],
    params: Params,
    posterior: Gaussian,
    context: Context,
    noise: Array,
    first: Array | bool,
) -> tuple[tuple[Array, Array], Decoded]:
    """Appearance and masks of a posterior sample (Eq. 6), and the decoder's output itself."""
    z = latents.sample(posterior, noise)
    if context.z is not None:  # no function of this frame's λ: ∇_λ L is that of the KL divergence
        z = jnp.where(first, context.z, z)
    decoded = generation.decode(model, params, z, context.h)
    return (decoded.means, likelihood.slot_masks(decoded.logits)), decoded


def _evaluate(
    options: ElboOptions,
    decoded: Decoded,
    means: Array,
    masks: Array,
    posterior: Gaussian,
    prior: Gaussian,
    frame: Array,
) -> ElboEvaluation:
    """Both terms of Eq. 3."""
    exponents, log_likelihood = likelihood.log_likelihood(options, frame, means, masks)
    return ElboEvaluation(
        decoded=decoded,
        masks=masks,
        exponents=exponents,
        log_likelihood=log_likelihood,
        nll=-log_likelihood.sum(axis=(1, 2)),
        kl=latents.kl_divergence(posterior, prior),
    )


def _limit(options: ElboOptions, gradient: Array) -> Array:
    """Scale, then clamp."""
    gradient = options.gradient_scale * gradient
    bound = options.gradient_clamp
    return gradient if bound is None else jnp.clip(gradient, -bound, bound)
