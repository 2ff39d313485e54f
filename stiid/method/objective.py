"""The training objective (Eq. 3 and 7, Appendix C), as a loss to minimize."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stiid.method import likelihood
from stiid.method.elbo import ElboWeights
from stiid.method.inference import VideoResult
from stiid.method.likelihood import LikelihoodOptions
from stiid.method.refinement import Terms
from stiid.shapes import Array, check_shapes

STEP_WEIGHTS = ("linear", "shared", "uniform", "last")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the loss. The defaults are the paper's on Bouncing Balls in color.

    Attributes:
      beta: β of the log-likelihood.
      psi: ψ of the KL divergence.
      gamma: γ of Eq. 7 as printed: the *maximized* objective gains γ Σ m log m, so γ > 0 makes
        masks sharper (less entropy); *authors' code* agrees. The paper's text says that the entropy
        is maximized: that is γ < 0. Eq. 7 does not say for which evaluations: here for all, each
        weighted as its ELBO. Paper: 0.1 on binary data.
      step_weights: weight w_j of evaluation j of the J in a frame, R̂ + 1 or, without
        ``last_decode``, R̂: "linear", j/J, favors late refinements; "shared", j over the J of frame
        0 in every frame (*authors' code*); "uniform", 1; "last", the last one only.
      inner_entropy: *authors' code* alone: the entropy that γ weighs is part of the loss whose
        gradients the refinement network sees.
      adaptive_beta: *authors' code* alone, on RGB: β is that of training's last batch, 300 if the
        nll of its last frame, without its constant, was above 600, 100 if it was above 200, else as
        before. It starts as ``beta``, which is also that of tests.
      slot_entropy: *not in the paper*: weight of the entropy of the slots' coverage of the image,
        times the number of pixels (parsimony: one slot takes what no other needs).
      largest_share: *not in the paper*: weight of −log of the largest slot's coverage of the clip,
        times the number of pixels of all weighted evaluations (the background is to be in one slot,
        in the same one throughout; a small object that joins it gains less than by the entropy).
      num_simulated: *not in the paper*: frames at the end of a training clip that are simulated by
        posterior means, from what inference of those before knows; each costs β times its negative
        log-likelihood against the truth, and the entropies and coverages of its last decode.
      seeds: *not in the paper*: weight, times β, of ``likelihood.assigned_nll`` at the first
        evaluation of frame 0, for ``posterior_start="seeds"``: slots learn to show what they took.
    """

    beta: float = 100.0
    psi: float = 10.0
    gamma: float = 0.0
    step_weights: str = "linear"
    inner_entropy: bool = False
    adaptive_beta: bool = False
    # Not in the paper.
    slot_entropy: float = 0.0
    largest_share: float = 0.0
    num_simulated: int = 0
    seeds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse weights that are not finite, and negative numbers of frames."""
        if self.step_weights not in STEP_WEIGHTS:
            raise ValueError(
                f"objective.step_weights: expected one of {STEP_WEIGHTS}, got {self.step_weights!r}"
            )
        for name in ("beta", "psi", "slot_entropy", "largest_share", "seeds"):
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
        """β and ψ, which inference needs as well, and γ if it does."""
        return ElboWeights(self.beta, self.psi, self.gamma if self.inner_entropy else None)

    def next_beta(self, beta: Array, nll: Array) -> Array:
        """β after a batch of this nll, by ``adaptive_beta``."""
        return jnp.where(nll > 600.0, 300.0, jnp.where(nll > 200.0, 100.0, beta))


class ObjectiveTerms(NamedTuple):
    """The loss of each video and the terms, of inferred frames, that users watch."""

    total: Array  # [B] minus Eq. 7
    nll: Array  # [B] −log p(x|z) of the last decodes, without constant, mean over frames; nats
    kl: Array  # [B] of the last decodes, summed over slots, mean over frames; nats
    mask_entropy: Array  # [B] nats per pixel
    slot_entropy: Array  # [B] nats
    mse: Array  # [B] mean over frames, pixels and channels
    state: dict[str, Array]  # {"nll"}: [B] of the last inferred frame, for ``after_update``


def step_weights(kind: str, count: int, most: int | None = None) -> Array:
    """Weights of a frame's J evaluations: [J]; frame 0 has ``most`` of them, or as many."""
    if kind in ("linear", "shared"):
        return jnp.arange(1, count + 1) / ((most or count) if kind == "shared" else count)
    if kind == "uniform":
        return jnp.ones(count)
    return jnp.zeros(count).at[-1].set(1.0)


def loss(
    objective: Objective,
    options: LikelihoodOptions,
    result: VideoResult,
    video: Array,
    *,
    beta: float | Array | None = None,
) -> ObjectiveTerms:
    """Minus Eq. 7 for each video: the loss that training minimizes.

    Eq. 7 with the ELBO of Eq. 3 written out, over frames t, their J evaluations j (each with its
    own λ_j, z_j and masks m_j), pixels i and slots k::

        Σ_t Σ_j w_j [ β log p(x_t | z_j) − ψ Σ_k KL(q_{λ_j} ‖ p_t) + γ Σ_i Σ_k m_ik log m_ik ]

    where w_j = j / J prioritizes later refinements (``step_weights``).

    Args:
      objective: the weights.
      options: of the likelihood.
      result: of ``inference.infer_video``.
      video: [B, T, H, W, C]; its last ``num_simulated`` frames were simulated.
      beta: in place of the objective's.
    """
    frames = result.frames.reconstruction
    check_shapes(video=(video, "B T H W C"), reconstruction=(frames, "T B H W C"))
    inferred = video.shape[1] - objective.num_simulated
    ends = accumulate(len(terms.nll) for terms in result.terms)
    runs = [terms for terms, end in zip(result.terms, ends, strict=True) if end <= inferred]

    beta = objective.beta if beta is None else beta
    weighted = partial(_weighted, objective, most=result.terms[0].nll.shape[1])
    total = jnp.zeros(len(video))
    for terms in runs:  # leaves [frames, J, B, …]
        negative_elbo = beta * terms.nll + objective.psi * terms.kl.sum(-1)
        total = total + weighted(negative_elbo + _mask_cost(objective, terms))

    # Not in the paper: simulated frames, the largest slot, and what slots took of frame 0.
    simulated = result.terms[len(runs) :]
    if simulated:
        nll = _simulated_nll(options, result, video, inferred)
        costs = [_mask_cost(objective, terms)[:, -1].sum(0) for terms in simulated]
        total = total + beta * nll.sum(0) + sum(costs)
    if objective.largest_share:
        areas = [weighted(terms.areas) for terms in runs]
        areas += [terms.areas[:, -1].sum(0) for terms in simulated]
        total = total + objective.largest_share * _log_largest(jnp.stack(areas).sum(0))
    if objective.seeds:
        if runs[0].assigned is None:
            raise ValueError("objective.seeds needs inference.posterior_start='seeds'")
        total = total + objective.seeds * beta * runs[0].assigned[0, 0]
    return _watched(total, runs, result, video[:, :inferred])


def _mask_cost(objective: Objective, terms: Terms) -> Array:
    """−γ Σ m log m of Eq. 7, and the entropy of the slots' coverage: [frames, J, B]."""
    cost = jnp.zeros_like(terms.nll)
    if objective.gamma:
        cost = cost + objective.gamma * terms.mask_entropy
    if objective.slot_entropy:
        cost = cost + objective.slot_entropy * _entropy(terms.areas)
    return cost


def _weighted(objective: Objective, values: Array, *, most: int) -> Array:
    """Σ_t Σ_j w_j of values [frames, J, B, …]."""
    weights = step_weights(objective.step_weights, values.shape[1], most)
    return (weights.reshape(1, -1, *(1,) * (values.ndim - 2)) * values).sum(axis=(0, 1))


def _simulated_nll(
    options: LikelihoodOptions, result: VideoResult, video: Array, inferred: int
) -> Array:
    """−log p(x_t|z_t) of simulated frames against the true ones, without its constant: [T', B]."""
    frames = jnp.swapaxes(video[:, inferred:], 0, 1)
    means, masks = result.frames.means[inferred:], result.frames.masks[inferred:]

    def of_frame(frame: Array, means: Array, masks: Array) -> Array:
        _, pixels = likelihood.log_likelihood(options, frame, means, masks[..., None])
        return -pixels.sum(axis=(1, 2))

    return jax.vmap(of_frame)(frames, means, masks)


def _watched(
    total: Array, runs: Sequence[Terms], result: VideoResult, video: Array
) -> ObjectiveTerms:
    """The loss with the terms, of the last decodes of inferred frames, that users watch."""
    watched = [(t.nll, t.kl, t.mask_entropy, t.areas) for t in runs]
    last = [jnp.concatenate([t[:, -1] for t in leaves]) for leaves in zip(*watched, strict=True)]
    nll, kl, mask_entropy, areas = last
    pixels = video.shape[2] * video.shape[3]
    error = (result.frames.reconstruction[: video.shape[1]] - jnp.swapaxes(video, 0, 1)) ** 2
    return ObjectiveTerms(
        total=total,
        nll=nll.mean(0),
        kl=kl.sum(-1).mean(0),
        mask_entropy=mask_entropy.mean(0) / pixels,
        slot_entropy=_entropy(areas).mean(0) / pixels,
        mse=error.mean(axis=(0, 2, 3, 4)),
        state={"nll": nll[-1]},
    )


def _entropy(areas: Array) -> Array:
    """Pixels times the entropy of the slots' coverage: [..., K] → [...], nats."""
    pixels = areas.sum(-1, keepdims=True)
    return -(areas * jnp.log(areas / pixels + 1e-12)).sum(-1)


def _log_largest(areas: Array) -> Array:
    """Pixels times −log of the largest slot's coverage: [B, K] → [B], nats."""
    pixels = areas.sum(-1)
    return pixels * jnp.log(pixels / areas.max(-1))
