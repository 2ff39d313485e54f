"""The training objective (Eq. 3 and 7, Appendix C), as a loss to minimize."""

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import jax.numpy as jnp

from stiid.cell import Terms
from stiid.elbo import ElboWeights
from stiid.inference import VideoResult
from stiid.shapes import Array

STEP_WEIGHTS = ("linear", "uniform", "last")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the loss.

    Attributes:
      beta: β of the log-likelihood. Paper: 100 on Bouncing Balls.
      psi: ψ of the KL divergence. Paper: 10 on Bouncing Balls.
      gamma: γ of Eq. 7 as printed: the *maximized* objective gains γ Σ m log m, so γ > 0 makes
        masks sharper (less entropy). The paper's text says that the entropy is maximized: that is
        γ < 0. Eq. 7 does not say for which evaluations: here for all, each weighted as its ELBO
        (ours). Paper: 0.1 on binary data.
      slot_entropy: weight of the entropy of the slots' shares of the image, times the number of
        pixels (ours: parsimony, one slot takes what no other needs). Paper: 0.
      largest_share: weight of −log of the largest of these shares, times the number of pixels (ours:
        the same of one slot alone; a small object that joins it gains less). Paper: 0.
      step_weights: weight of evaluation j of the J in a frame, R̂ + 1 or, without
        ``last_decode``, R̂: "linear", j/J, favors late refinements (IODINE); "uniform", 1; "last",
        the last one only.
      num_simulated: frames at the end of a training clip that are simulated by posterior means,
        from what inference of those before knows; each costs β times its nll against the truth,
        and the entropies and shares of its last decode (ours). Paper: 0.
    """

    beta: float
    psi: float
    gamma: float
    slot_entropy: float
    largest_share: float
    step_weights: str
    num_simulated: int

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


class Loss(NamedTuple):
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


def loss(objective: Objective, result: VideoResult, video: Array) -> Loss:
    """Minus Eq. 7, summed over inferred frames and weighted evaluations, for each video.

    Of simulated frames only masks count here: their nll is against themselves.

    Args:
      objective: the weights.
      result: of ``inference.infer_video``.
      video: [B, T, H, W, C], of which the last ``num_simulated`` were simulated.
    """
    inferred = video.shape[1] - objective.num_simulated
    ends = accumulate(len(terms.nll) for terms in result.terms)
    runs = [terms for terms, end in zip(result.terms, ends, strict=True) if end <= inferred]
    costs = [_run_loss(objective, terms) for terms in runs]
    costs += [_mask_cost(objective, t)[:, -1].sum(0) for t in result.terms[len(runs) :]]
    total = jnp.stack(costs).sum(0)
    last = [jnp.concatenate([t[:, -1] for t in leaves]) for leaves in zip(*runs, strict=True)]
    nll, kl, mask_entropy, slot_entropy, _ = last
    pixels = video.shape[2] * video.shape[3]
    frames = jnp.swapaxes(video[:, :inferred], 0, 1)
    error = (result.frames.reconstruction[:inferred] - frames) ** 2
    return Loss(
        total=total,
        nll=nll.mean(0),
        kl=kl.sum(-1).mean(0),
        mask_entropy=mask_entropy.mean(0) / pixels,
        slot_entropy=slot_entropy.mean(0) / pixels,
        mse=error.mean(axis=(0, 2, 3, 4)),
    )


def _run_loss(objective: Objective, terms: Terms) -> Array:
    """Loss [B] of the frames of one run; terms are [frames, J, B, …]."""
    cost = objective.beta * terms.nll + objective.psi * terms.kl.sum(-1)
    cost = cost + _mask_cost(objective, terms)
    weights = step_weights(objective.step_weights, terms.nll.shape[1])
    return (weights.reshape(1, -1, 1) * cost).sum(axis=(0, 1))


def _mask_cost(objective: Objective, terms: Terms) -> Array:
    """What the masks' entropies and shares cost: [frames, J, B]."""
    cost = jnp.zeros_like(terms.nll)
    if objective.gamma:
        cost = cost + objective.gamma * terms.mask_entropy
    if objective.slot_entropy:
        cost = cost + objective.slot_entropy * terms.slot_entropy
    if objective.largest_share:
        cost = cost + objective.largest_share * terms.largest_share
    return cost
