"""The paper's system, as training and evaluation use it: videos in bytes, keys per video."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiid.method import likelihood
from stiid.method.elbo import explain
from stiid.method.inference import VideoResult, first_frame, infer_frame, infer_video
from stiid.method.networks import SlotModel, init_params
from stiid.method.objective import Objective, ObjectiveTerms, loss
from stiid.method.refinement import FrameResult, FrameStart
from stiid.method.schedule import schedule
from stiid.models.base import Decomposition, Latents, unit_range
from stiid.shapes import Array, Params


@dataclass(frozen=True)
class SpatioTemporal:
    """A model with its objective: a ``models.base.VideoModel``.

    Attributes:
      model: networks and procedure.
      objective: weights of the loss.
      num_slots: K in training.
    """

    model: SlotModel
    objective: Objective
    num_slots: int

    def init(self, key: Array) -> Params:
        """Draw the parameters."""
        return init_params(self.model, key)

    def loss(self, params: Params, video: Array, keys: Array) -> ObjectiveTerms:
        """See ``models.base.VideoModel``; ``nll`` is −log p(x|z), its constant included."""
        frames, simulated = unit_range(video), self.objective.num_simulated
        inferred = video.shape[1] - simulated
        if inferred < 1:
            raise ValueError(
                f"objective.num_simulated = {simulated} leaves none of {video.shape[1]} frames to "
                "infer: use longer clips"
            )
        noise = self._noise(keys, num_frames=video.shape[1], num_slots=self.num_slots)
        result = infer_video(
            self.model,
            params,
            frames[:, :inferred],
            noise.at[inferred:].set(0.0),
            self.objective.elbo,
            num_simulated=simulated,
        )
        terms = loss(self.objective, result, frames)
        if simulated:
            means, masks = result.frames.means[inferred:], result.frames.masks[inferred:]
            nll = self._nll(means, masks, jnp.swapaxes(frames[:, inferred:], 0, 1))
            terms = terms._replace(total=terms.total + self.objective.beta * nll.sum(0))
        # The loss does without the constant; a reported log-likelihood does not.
        height, width, channels = video.shape[2:]
        pixel = likelihood.log_normalizer(variance=self.model.inference.variance, channels=channels)
        return terms._replace(nll=terms.nll - height * width * pixel)

    def after_update(self, params: Params, terms: ObjectiveTerms) -> Params:
        """See ``models.base.VideoModel``: gradients move all of them."""
        return params

    def decompose(
        self,
        params: Params,
        video: Array,
        keys: Array,
        *,
        num_slots: int,
        num_simulated: int,
        noise: str,
        restarts: int,
        restart_frames: int = 1,
    ) -> Decomposition:
        """See ``models.base.VideoModel``."""
        frames, num_frames = unit_range(video), video.shape[1]
        if num_simulated and not self._remembers:
            raise ValueError(
                "a model with inference.time_axis='none' (IODINE) cannot simulate frames: set "
                "predict.num_simulated to 0"
            )
        total = num_frames + num_simulated
        epsilon = self._noise(keys, num_frames=total, num_slots=num_slots)
        count = 1 if self._remembers else num_frames  # frames that start anew
        if restarts > 1:
            judges = frames[:, :restart_frames] if self._remembers else frames
            best = self._choose_noise(params, judges, keys, epsilon[:count], restarts)
            epsilon = epsilon.at[:count].set(best)
        if noise == "first":
            epsilon = epsilon.at[count:].set(0.0).at[:count, -1].set(0.0)
        result = infer_video(
            self.model,
            params,
            frames,
            epsilon,
            self.objective.elbo,
            num_simulated=num_simulated,
        )
        _, kl = _last_terms(result)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), _decomposition(result.frames, kl))

    def stream(
        self,
        params: Params,
        frames: Iterable[np.ndarray],
        key: Array,
        *,
        num_slots: int,
        noise: str,
        restarts: int,
        restart_frames: int = 1,
    ) -> Iterator[Decomposition]:
        """See ``models.base.StreamingModel``."""
        settings, weights = self.model.inference, self.objective.elbo
        # From frame R − 1 on, every grid repeats its last number of refinements.
        length = settings.refinements
        plan = schedule(settings.grid, refinements=length, num_frames=length)

        @jax.jit
        def step(
            params: Params, start: FrameStart, frame: Array, epsilon: Array
        ) -> tuple[FrameStart, FrameResult, Array]:
            frame = unit_range(frame)[None]
            start, (terms, result) = infer_frame(self.model, params, start, frame, epsilon, weights)
            return start, result, terms.kl[-1]

        @jax.jit
        def first_noise(params: Params, frames: Array, key: Array) -> Array:
            epsilon = self._noise(key[None], num_frames=1, num_slots=num_slots)
            if restarts > 1:
                frames = unit_range(frames)[None]
                epsilon = self._choose_noise(params, frames, key[None], epsilon, restarts)
            return epsilon[0]

        start = first_frame(self.model, params, batch=1, num_slots=num_slots)
        later = iter(frames)
        judges = restart_frames if restarts > 1 and self._remembers else 0
        ahead = list(itertools.islice(later, judges))
        for t, frame in enumerate(itertools.chain(ahead, later)):
            # Apart from frame 0 and from its further draws, ``fold_in(key, 1)``.
            own = jax.random.fold_in(jax.random.fold_in(key, 2), t) if t else key
            if t == 0 or not self._remembers:
                epsilon = first_noise(params, np.stack(ahead or [frame]), own)
                if noise == "first":
                    epsilon = epsilon.at[-1].set(0.0)
            elif noise == "first":
                epsilon = jnp.zeros_like(epsilon)
            else:
                epsilon = self._noise(own[None], num_frames=1, num_slots=num_slots)[0]
            refinements = plan[min(t, length - 1)]
            start, result, kl = step(params, start, frame, epsilon[: refinements + 1])
            yield jax.device_get(jax.tree.map(lambda x: x[None], _decomposition(result, kl)))

    def decode(self, params: Params, latents: Latents) -> Decomposition:
        """What slots show: the generative half of the model (Eq. 6), for any z.

        Args:
          params: from ``init``.
          latents: of a ``Decomposition``, changed or not; [B, T, K, …].

        Returns:
          Pictures of all frames; the KL divergence is not known: NaN.
        """
        shape = latents.z.shape[:2]
        z, h = (x.reshape(-1, *x.shape[2:]) for x in latents)
        decoded = self.model.decode(params, z, h if self.model.inference.generation else None)
        masks = likelihood.slot_masks(decoded.logits)
        image = likelihood.reconstruct(masks, decoded.means)
        parts = Decomposition(image, masks[..., 0], decoded.means, jnp.full(z.shape[:2], jnp.nan))
        parts = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), parts)
        return parts._replace(latents=latents)

    @property
    def _remembers(self) -> bool:
        """Whether a frame starts from the one before; else slots break their symmetry in each."""
        return self.model.inference.time_axis != "none"

    def _choose_noise(
        self, params: Params, frames: Array, keys: Array, first: Array, restarts: int
    ) -> Array:
        """Of several draws for a frame, that of the lowest free energy β nll + ψ KL of each video.

        Slots differ by noise alone when inference starts; an unlucky draw leaves two objects in
        one slot, or one object in two, and costs likelihood or KL that other draws save.

        Args:
          params: of the model.
          frames: [B, T, H, W, C]: the first ones, whose free energies are summed, or those of
            a model without memory, which all start anew.
          keys: one per video, [B].
          first: the first draw, [1, R + 1, B, K, D], or [T, …] without memory.
          restarts: number of draws.

        Returns:
          The best draws, as ``first``.
        """
        own = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
        count = (restarts - 1) * len(first)
        others = self._noise(own, num_frames=count, num_slots=first.shape[3])
        draws = jnp.concatenate([first[None], others.reshape(restarts - 1, *first.shape)])

        def free_energy(draw: Array) -> Array:
            epsilon = jnp.zeros((frames.shape[1], *draw.shape[1:])).at[: len(draw)].set(draw)
            epsilon = epsilon.at[:, -1].set(0.0)
            result = infer_video(self.model, params, frames, epsilon, self.objective.elbo)
            nll, kl = _last_terms(result)
            energy = self.objective.beta * nll + self.objective.psi * kl.sum(-1)
            return energy.sum(0, keepdims=True) if self._remembers else energy

        energies = lax.map(free_energy, draws)
        # To argmin a NaN is the least of all.
        best = jnp.where(jnp.isnan(energies), jnp.inf, energies).argmin(0)  # [T, B]
        return jnp.take_along_axis(draws, best[None, :, None, :, None, None], axis=0)[0]

    def _nll(self, means: Array, masks: Array, frames: Array) -> Array:
        """−log p(x_t|z_t) of decoded frames, without its constant, nats: [T, B]."""

        def of_frame(means: Array, masks: Array, frame: Array) -> Array:
            _, log_likelihood = explain(self.model.inference, frame, means, masks[..., None])
            return -log_likelihood.sum(axis=(1, 2))

        return jax.vmap(of_frame)(means, masks, frames)

    def _noise(self, keys: Array, *, num_frames: int, num_slots: int) -> Array:
        """ε [T, R + 1, B, K, D], each video's from its own key."""
        shape = (
            num_frames,
            self.model.inference.refinements + 1,
            num_slots,
            self.model.prior.latent_size,
        )
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        return jnp.moveaxis(noise, 0, 2)


def _last_terms(result: VideoResult) -> tuple[Array, Array]:
    """NLL [T, B] and KL [T, B, K] of the last evaluation of each frame."""
    nll = jnp.concatenate([terms.nll[:, -1] for terms in result.terms])
    return nll, jnp.concatenate([terms.kl[:, -1] for terms in result.terms])


def _decomposition(frames: FrameResult, kl: Array) -> Decomposition:
    """What training and evaluation see of frames; axes as they come."""
    latents = Latents(frames.posterior.mean, frames.context.h)
    return Decomposition(frames.reconstruction, frames.masks, frames.means, kl, latents=latents)
