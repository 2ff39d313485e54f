"""Noise of inference: sampled from each video's key; the best of several samples for frame 0.

At the start of inference, slots differ by noise alone. With an unlucky sample, one slot gets two
objects, or two slots share one, at the cost of likelihood or KL. So inference restarts from several
noise samples, and the one with the lowest negative ELBO is kept. No labels are used. (Not in the
paper.)
"""

import jax
import jax.numpy as jnp
from jax import lax

from stiid.method.elbo import ElboWeights
from stiid.method.inference import Inference, VideoResult, infer_video
from stiid.method.networks import SlotModel
from stiid.models.base import Decoding
from stiid.shapes import Array, Params


def sample_noise(
    model: SlotModel[Inference], keys: Array, *, num_frames: int, num_slots: int
) -> Array:
    """ε [T, R + 1, B, K, D], each video's from its own key."""
    shape = (num_frames, model.inference.refinements + 1, num_slots, model.prior.latent_size)
    noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
    return jnp.moveaxis(noise, 0, 2)


def has_memory(model: SlotModel[Inference]) -> bool:
    """Whether a frame starts from the one before; else each frame needs its own noise."""
    return model.inference.time_axis != "none"


def choose_noise(
    model: SlotModel[Inference],
    weights: ElboWeights,
    params: Params,
    frames: Array,
    keys: Array,
    noise: Array,
    decoding: Decoding,
) -> Array:
    """Choose the noise of frames that start without memory, for videos and for streams.

    Args:
      model: networks and procedure.
      weights: β and ψ of the negative ELBO by which samples are compared.
      params: of the model.
      frames: [B, T, H, W, C] in [0, 1]. With memory, the first ``restart_frames`` of them decide
        together; without, each frame decides for itself.
      keys: one per video, [B].
      noise: the first sample ε [N, R + 1, B, K, D], N = 1 frame with memory, T without.
      decoding: number of samples, and whether the decode after the last refinement is sampled.

    Returns:
      ε as ``noise``.
    """
    if decoding.restarts > 1:
        noise = _best(model, weights, params, frames, keys, noise, decoding)
    if decoding.noise == "first":
        noise = noise.at[:, -1].set(0.0)
    return noise


def last_terms(result: VideoResult) -> tuple[Array, Array]:
    """NLL [T, B] and KL [T, B, K] of the last evaluation of each frame."""
    nll = jnp.concatenate([terms.nll[:, -1] for terms in result.terms])
    return nll, jnp.concatenate([terms.kl[:, -1] for terms in result.terms])


def _best(
    model: SlotModel[Inference],
    weights: ElboWeights,
    params: Params,
    frames: Array,
    keys: Array,
    first: Array,
    decoding: Decoding,
) -> Array:
    """Per video, the best of the first and ``restarts − 1`` further samples: lowest β nll + ψ KL.

    See ``choose_noise`` for the arguments.
    """
    memory, others = has_memory(model), decoding.restarts - 1
    frames = frames[:, : decoding.restart_frames] if memory else frames
    own = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    more = sample_noise(model, own, num_frames=others * len(first), num_slots=decoding.num_slots)
    samples = jnp.concatenate([first[None], more.reshape(others, *first.shape)])

    def negative_elbo(sample: Array) -> Array:
        """[1, B] of all frames together with memory, [T, B] without."""
        noise = jnp.zeros((frames.shape[1], *sample.shape[1:])).at[: len(sample)].set(sample)
        noise = noise.at[:, -1].set(0.0)
        nll, kl = last_terms(infer_video(model, params, frames, noise, weights))
        cost = weights.beta * nll + weights.psi * kl.sum(-1)
        return cost.sum(0, keepdims=True) if memory else cost

    costs = lax.map(negative_elbo, samples)
    # argmin would choose a NaN.
    best = jnp.where(jnp.isnan(costs), jnp.inf, costs).argmin(0)
    return jnp.take_along_axis(samples, best[None, :, None, :, None, None], axis=0)[0]
