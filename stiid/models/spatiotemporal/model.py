"""The paper's model as a ``VideoModel``: videos in bytes, one key per video."""

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiid.method import generation, likelihood
from stiid.method.inference import Inference, first_frame, infer_frame, infer_video
from stiid.method.networks import SlotModel
from stiid.method.objective import Objective, ObjectiveTerms, loss
from stiid.method.parameters import init_params
from stiid.method.refinement import FrameResult, FrameStart
from stiid.method.schedule import schedule
from stiid.models.base import Decoding, Decomposition, Latents, unit_range
from stiid.models.spatiotemporal.restarts import (
    choose_noise,
    has_memory,
    last_terms,
    sample_noise,
)
from stiid.shapes import Array, Params


@dataclass(frozen=True)
class SpatioTemporal:
    """A model with its objective: a ``models.base.VideoModel``.

    Attributes:
      model: networks and procedure.
      objective: weights of the loss.
      num_slots: K in training.
    """

    model: SlotModel[Inference]
    objective: Objective
    num_slots: int

    def init(self, key: Array) -> Params:
        """Initialize the parameters; with ``adaptive_beta``, β is one of them, without gradient."""
        params = init_params(self.model, key)
        if self.objective.adaptive_beta:
            params["beta"] = jnp.asarray(self.objective.beta, jnp.float32)
        return params

    def loss(self, params: Params, video: Array, keys: Array) -> ObjectiveTerms:
        """See ``models.base.VideoModel``; ``nll`` is −log p(x|z), its constant included."""
        frames, simulated = unit_range(video), self.objective.num_simulated
        inferred = video.shape[1] - simulated
        if inferred < 1:
            raise ValueError(
                f"objective.num_simulated = {simulated} leaves none of {video.shape[1]} frames to "
                "infer: use longer clips"
            )
        noise = sample_noise(self.model, keys, num_frames=video.shape[1], num_slots=self.num_slots)
        weights = self.objective.elbo
        if self.objective.adaptive_beta:
            weights = weights._replace(beta=lax.stop_gradient(params["beta"]))
        result = infer_video(
            self.model,
            params,
            frames[:, :inferred],
            noise.at[inferred:].set(0.0),
            weights,
            num_simulated=simulated,
        )
        terms = loss(self.objective, self.model.inference, result, frames, beta=weights.beta)
        # The loss omits the constant of the likelihood; the reported value includes it.
        height, width, channels = video.shape[2:]
        pixel = likelihood.log_normalizer(variance=self.model.inference.variance, channels=channels)
        return terms._replace(nll=terms.nll - height * width * pixel)

    def after_update(self, params: Params, terms: ObjectiveTerms) -> Params:
        """See ``models.base.VideoModel``: an adaptive β is updated here."""
        if not self.objective.adaptive_beta:
            return params
        return params | {"beta": self.objective.next_beta(params["beta"], terms.state["nll"])}

    def decompose(
        self,
        params: Params,
        video: Array,
        keys: Array,
        decoding: Decoding,
        *,
        num_simulated: int = 0,
    ) -> Decomposition:
        """See ``models.base.VideoModel``."""
        model, weights = self.model, self.objective.elbo
        frames, num_frames = unit_range(video), video.shape[1]
        if num_simulated and not has_memory(model):
            raise ValueError(
                "a model with inference.time_axis='none' (IODINE) cannot simulate frames: "
                "decompose them instead, or set predict.num_simulated to 0"
            )
        total = num_frames + num_simulated
        noise = sample_noise(model, keys, num_frames=total, num_slots=decoding.num_slots)
        anew = 1 if has_memory(model) else num_frames  # frames that start without memory
        chosen = choose_noise(model, weights, params, frames, keys, noise[:anew], decoding)
        if decoding.noise == "first":
            noise = jnp.zeros_like(noise)
        noise = noise.at[:anew].set(chosen)
        result = infer_video(model, params, frames, noise, weights, num_simulated=num_simulated)
        _, kl = last_terms(result)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), _decomposition(result.frames, kl))

    def stream(
        self, params: Params, frames: Iterable[np.ndarray], key: Array, decoding: Decoding
    ) -> Iterator[Decomposition]:
        """See ``models.base.StreamingModel``."""
        model = self.model
        memory, num_slots = has_memory(model), decoding.num_slots
        # From frame R − 1 on, every grid repeats its last number of refinements.
        length = model.inference.refinements
        plan = schedule(model.inference.grid, refinements=length, num_frames=length)

        later = iter(frames)
        ahead = decoding.restart_frames if decoding.restarts > 1 and memory else 0
        first = list(itertools.islice(later, ahead))
        for t, frame in enumerate(itertools.chain(first, later)):
            # Noise is sliced on the host: each operation outside of a program compiles one.
            if t == 0 or not memory:
                seen, own = np.stack(first or [frame]), _frame_key(key, t) if t else key
                noise = np.asarray(_first_noise(self, params, seen, own, decoding))
            elif decoding.noise == "first":
                noise = np.zeros_like(noise)
            else:
                noise = np.asarray(_noise(self, _frame_key(key, t), num_slots=num_slots))
            if t == 0:
                start = _first_frame(self, params, frame, noise[0], num_slots=num_slots)
            rows, decode = noise[: plan[min(t, length - 1)] + 1], model.inference.decodes(t)
            start, result = _step(self, params, start, frame, rows, last_decode=decode)
            yield jax.device_get(result)

    def decode(self, params: Params, latents: Latents) -> Decomposition:
        """See ``models.base.LatentModel``: the generative half of the model (Eq. 6)."""
        shape = latents.z.shape[:2]
        z, h = (x.reshape(-1, *x.shape[2:]) for x in latents)
        decoded = generation.decode(self.model, params, z, h)
        masks = likelihood.slot_masks(decoded.logits)
        image = likelihood.mix(masks, decoded.means)
        parts = Decomposition(image, masks[..., 0], decoded.means, jnp.full(z.shape[:2], jnp.nan))
        parts = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), parts)
        return parts._replace(latents=latents)

    @property
    def latent_sizes(self) -> tuple[int, int]:
        """See ``models.base.LatentModel``."""
        return self.model.prior.latent_size, self.model.refiner.lstm_features


@functools.partial(jax.jit, static_argnames=("system", "last_decode"))
def _step(
    system: SpatioTemporal,
    params: Params,
    start: FrameStart,
    frame: Array,
    noise: Array,
    *,
    last_decode: bool,
) -> tuple[FrameStart, Decomposition]:
    """Infer the next frame [H, W, C] of a stream; compiled once for all streams of a model."""
    frames, weights = unit_range(frame)[None], system.objective.elbo
    start, (terms, result) = infer_frame(
        system.model, params, start, frames, noise, weights, last_decode=last_decode
    )
    return start, jax.tree.map(lambda x: x[None], _decomposition(result, terms.kl[-1]))


@functools.partial(jax.jit, static_argnames=("system", "num_slots"))
def _first_frame(
    system: SpatioTemporal, params: Params, frame: Array, noise: Array, *, num_slots: int
) -> FrameStart:
    """Start of a stream whose first frame is [H, W, C]."""
    first = {"noise": noise, "frame": unit_range(frame)[None]}
    return first_frame(system.model, params, batch=1, num_slots=num_slots, **first)


@functools.partial(jax.jit, static_argnames=("system", "decoding"))
def _first_noise(
    system: SpatioTemporal, params: Params, frames: Array, key: Array, decoding: Decoding
) -> Array:
    """Noise at the start of a stream, [R + 1, 1, K, D], chosen by its first frames."""
    model, keys = system.model, key[None]
    noise = sample_noise(model, keys, num_frames=1, num_slots=decoding.num_slots)
    frames = unit_range(frames)[None]
    return choose_noise(model, system.objective.elbo, params, frames, keys, noise, decoding)[0]


@functools.partial(jax.jit, static_argnames=("system", "num_slots"))
def _noise(system: SpatioTemporal, key: Array, *, num_slots: int) -> Array:
    """Noise of a later frame of a stream, [R + 1, 1, K, D]."""
    return sample_noise(system.model, key[None], num_frames=1, num_slots=num_slots)[0]


@jax.jit
def _frame_key(key: Array, t: int) -> Array:
    """Key of frame t > 0: not that of frame 0, nor of its further samples (``fold_in(key, 1)``)."""
    return jax.random.fold_in(jax.random.fold_in(key, 2), t)


def _decomposition(frames: FrameResult, kl: Array) -> Decomposition:
    """Convert results of frames to a decomposition with the same axes."""
    latents = Latents(frames.posterior.mean, frames.context.h)
    return Decomposition(frames.reconstruction, frames.masks, frames.means, kl, latents=latents)
