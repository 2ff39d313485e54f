"""The training objective (Eq. 3 and 7, Appendix C), as a loss to minimize."""

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import jax.numpy as jnp

from stiid.method.elbo import ElboWeights
from stiid.method.inference import VideoResult
from stiid.method.refinement import Terms
from stiid.shapes import Array

STEP_WEIGHTS = ("linear", "uniform", "last")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the loss. The defaults are the paper's on Bouncing Balls in color.

    Attributes:
      beta: β of the log-likelihood.
      psi: ψ of the KL divergence.
      gamma: γ of Eq. 7 as printed: the *maximized* objective gains γ Σ m log m, so γ > 0 makes
        masks sharper (less entropy). The paper's text says that the entropy is maximized: that is
        γ < 0. Eq. 7 does not say for which evaluations: here for all, each weighted as its ELBO
        (ours). Paper: 0.1 on binary data.
      slot_entropy: weight of the entropy of the slots' shares of the image, times the number of
        pixels (ours: parsimony, one slot takes what no other needs).
      largest_share: weight of −log of the largest slot's share of the clip, times the number of
        pixels of all weighted evaluations (ours: the ground is to be in one slot, in the same one
        throughout; a small object that joins it gains less than by the entropy).
      step_weights: weight of evaluation j of the J in a frame, R̂ + 1 or, without
        ``last_decode``, R̂: "linear", j/J, favors late refinements (IODINE); "uniform", 1; "last",
        the last one only.
      num_simulated: frames at the end of a training clip that are simulated by posterior means,
        from what inference of those before knows; each costs β times its nll against the truth,
        and the entropies and shares of its last decode (ours).
    """

    beta: float = 100.0
    psi: float = 10.0
    gamma: float = 0.0
    slot_entropy: float = 0.0
    largest_share: float = 0.0
    step_weights: str = "linear"
    num_simulated: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no weight, and fewer frames than none."""
        if self.step_weights not in STEP_WEIGHTS:
            raise ValueError(
                f"objective.step_weights: expected one of {STEP_WEIGHTS}, got {self.step_weights!r}"
            )
        for name in ("beta", "psi", "slot_entropy", "largest_share"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"objective.{name} must be finite and not negative, got {getattr(self, name)}"
                )
        if not math.isfinite(self.gamma):
            raise ValueError(f"objective.gamma must be finite, got {self.gamma}")
        if self.num_simulated < 0:
            raise ValueError(
                f"objective.num_simulated must not be negative, got {self.num_simulated}"
            )

    @property
    def elbo(self) -> ElboWeights:
        """β and ψ, which inference needs as well."""
        return ElboWeights(self.beta, self.psi)


class ObjectiveTerms(NamedTuple):
    """The loss of each video and the terms, of inferred frames, that users watch."""

    total: Array  # [B] minus Eq. 7
    nll: Array  # [B] −log p(x|z) of the last decodes, without constant, mean over frames; nats
    kl: Array  # [B] of the last decodes, summed over slots, mean over frames; nats
    mask_entropy: Array  # [B] nats per pixel
    slot_entropy: Array  # [B] nats
    mse: Array  # [B] mean over frames, pixels and channels


def step_weights(kind: str, count: int) -> Array:
    """Weights of a frame's J evaluations: [J]."""
    if kind == "linear":
        return jnp.arange(1, count + 1) / count
    if kind == "uniform":
        return jnp.ones(count)
    return jnp.zeros(count).at[-1].set(1.0)


def loss(objective: Objective, result: VideoResult, video: Array) -> ObjectiveTerms:
    """Minus Eq. 7, summed over inferred frames and weighted evaluations, for each video.

    Of simulated frames only their masks count here: their nll is against themselves.

    Args:
      objective: the weights.
      result: of ``method.inference.infer_video``.
      video: [B, T, H, W, C], of which the last ``num_simulated`` were simulated.
    """
    inferred = video.shape[1] - objective.num_simulated
    ends = accumulate(len(terms.nll) for terms in result.terms)
    runs = [terms for terms, end in zip(result.terms, ends, strict=True) if end <= inferred]
    costs = [_run_loss(objective, terms) for terms in runs]
    later = result.terms[len(runs) :]
    costs += [_entropy_cost(objective, terms)[:, -1].sum(0) for terms in later]
    if objective.largest_share:
        areas = [_weighted(objective, terms.areas) for terms in runs]
        areas += [terms.areas[:, -1].sum(0) for terms in later]
        costs.append(objective.largest_share * _log_largest(jnp.stack(areas).sum(0)))
    total = jnp.stack(costs).sum(0)
    last = [jnp.concatenate([t[:, -1] for t in leaves]) for leaves in zip(*runs, strict=True)]
    nll, kl, mask_entropy, areas_of_last = last
    pixels = video.shape[2] * video.shape[3]
    frames = jnp.swapaxes(video[:, :inferred], 0, 1)
    error = (result.frames.reconstruction[:inferred] - frames) ** 2
    return ObjectiveTerms(
        total=total,
        nll=nll.mean(0),
        kl=kl.sum(-1).mean(0),
        mask_entropy=mask_entropy.mean(0) / pixels,
        slot_entropy=_entropy(areas_of_last).mean(0) / pixels,
        mse=error.mean(axis=(0, 2, 3, 4)),
    )


def _run_loss(objective: Objective, terms: Terms) -> Array:
    """Loss [B] of the frames of one run; terms are [frames, J, B, …]."""
    cost = objective.beta * terms.nll + objective.psi * terms.kl.sum(-1)
    return _weighted(objective, cost + _entropy_cost(objective, terms))


def _weighted(objective: Objective, values: Array) -> Array:
    """The sum of [frames, J, B, …] over frames and weighted evaluations."""
    weights = step_weights(objective.step_weights, values.shape[1])
    return (weights.reshape(1, -1, *(1,) * (values.ndim - 2)) * values).sum(axis=(0, 1))


def _entropy_cost(objective: Objective, terms: Terms) -> Array:
    """What the entropies of masks and shares cost: [frames, J, B]."""
    cost = jnp.zeros_like(terms.nll)
    if objective.gamma:
        cost = cost + objective.gamma * terms.mask_entropy
    if objective.slot_entropy:
        cost = cost + objective.slot_entropy * _entropy(terms.areas)
    return cost


def _entropy(areas: Array) -> Array:
    """Pixels times the entropy of the slots' shares of them: [..., K] → [...], nats."""
    pixels = areas.sum(-1, keepdims=True)
    return -(areas * jnp.log(areas / pixels + 1e-12)).sum(-1)


def _log_largest(areas: Array) -> Array:
    """Pixels times −log of the largest slot's share of them: [B, K] → [B], nats."""
    pixels = areas.sum(-1)
    return pixels * jnp.log(pixels / areas.max(-1))
