"""The paper's system, as training and evaluation use it: videos in bytes, keys per video."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiid import likelihood
from stiid.cell import FrameResult, FrameStart
from stiid.config import arguments
from stiid.grid import schedule
from stiid.inference import first_frame, infer_frame, infer_video
from stiid.model import Inference, Model, init_params
from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.precision import PRECISIONS
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.objective import Loss, Objective, loss
from stiid.shapes import Array, Params
from stiid.system import Decomposition, Latents, unit_range

_LEAVES = {"decoder": BroadcastDecoder, "refiner": Refiner, "prior": ConditionalPrior}
# Fields of leaves that come from the data, from the section itself, or from Linen.
_FROM_ELSEWHERE = ("height", "width", "channels", "latent_size", "precision", "parent", "name")


@dataclass(frozen=True, kw_only=True)
class SpatioTemporalConfig:
    """Networks, inference and objective.

    Attributes:
      family: "stiid".
      latent_size: D. Paper: 64.
      num_slots: K in training.
      precision: of what is image-sized in the decoder and the convolutions of the refiner:
        "float32", or "bfloat16" for GPUs and TPUs (neither was at hand: not measured), with
        parameters, LSTM, likelihood and KL in float32 all the same.
      decoder: fields of ``nn.decoder.BroadcastDecoder`` (its image size comes from the data).
      refiner: fields of ``nn.refiner.Refiner``.
      prior: fields of ``nn.prior.ConditionalPrior``.
      inference: see ``model.Inference``.
      objective: see ``objective.Objective``; its β and ψ also weigh the gradients that inference
        uses.
    """

    family: Literal["stiid"]
    latent_size: int
    num_slots: int
    precision: str
    decoder: Mapping[str, Any]
    refiner: Mapping[str, Any]
    prior: Mapping[str, Any]
    inference: Inference
    objective: Objective

    def __post_init__(self) -> None:
        """Refuse sizes of nothing, and leaves with unknown or ill-typed fields."""
        for name in ("latent_size", "num_slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        for name in _LEAVES:
            self._leaf_fields(name)
        if self.objective.num_simulated and self.inference.time_axis == "none":
            raise ValueError(
                "objective.num_simulated must be 0 without memory (inference.time_axis='none'), "
                f"got {self.objective.num_simulated}"
            )

    def build(self, image_shape: tuple[int, int, int]) -> "SpatioTemporal":
        """See ``system.Family``."""
        height, width, channels = image_shape
        image: dict[str, Any] = {"height": height, "width": width, "channels": channels}
        latent: dict[str, Any] = {"latent_size": self.latent_size}
        precision: dict[str, Any] = {"precision": self.precision}
        model = Model(
            decoder=BroadcastDecoder(**image, **precision, **self._leaf_fields("decoder")),
            refiner=Refiner(**latent, **precision, **self._leaf_fields("refiner")),
            prior=ConditionalPrior(**latent, **self._leaf_fields("prior")),
            inference=self.inference,
        )
        return SpatioTemporal(model, self.objective, self.num_slots)

    def _leaf_fields(self, name: str) -> dict[str, Any]:
        """The fields of a Linen leaf, checked against its annotations."""
        known = {f.name: f.type for f in dataclasses.fields(_LEAVES[name])}
        hints = {k: hint for k, hint in known.items() if k not in _FROM_ELSEWHERE}
        fields = arguments(hints, getattr(self, name), name)
        for field, value in fields.items():
            least = 0 if (name, field) == ("refiner", "layers") else 1
            if hints[field] is int and value < least:
                raise ValueError(f"{name}.{field} must be at least {least}, got {value}")
        return fields


@dataclass(frozen=True)
class SpatioTemporal:
    """A model with its objective: a ``system.System``.

    Attributes:
      model: networks and procedure.
      objective: weights of the loss.
      num_slots: K in training.
    """

    model: Model
    objective: Objective
    num_slots: int

    def init(self, key: Array) -> Params:
        """Draw the parameters."""
        return init_params(self.model, key)

    def loss(self, params: Params, video: Array, keys: Array) -> Loss:
        """See ``system.System``; ``nll`` is −log p(x|z), its constant included."""
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

    def after_update(self, params: Params, terms: Loss) -> Params:
        """See ``system.System``: gradients move all of them."""
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
    ) -> Decomposition:
        """See ``system.System``."""
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
            best = self._choose_noise(params, frames[:, :count], keys, epsilon[:count], restarts)
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
        kl = jnp.concatenate([terms.kl[:, -1] for terms in result.terms])
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
    ) -> Iterator[Decomposition]:
        """See ``system.Streams``."""
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
        def first_noise(params: Params, frame: Array, key: Array) -> Array:
            epsilon = self._noise(key[None], num_frames=1, num_slots=num_slots)
            if restarts > 1:
                frame = unit_range(frame)[None, None]
                epsilon = self._choose_noise(params, frame, key[None], epsilon, restarts)
            return epsilon[0]

        start = first_frame(self.model, params, batch=1, num_slots=num_slots)
        for t, frame in enumerate(frames):
            # Apart from frame 0 and from its further draws, ``fold_in(key, 1)``.
            own = jax.random.fold_in(jax.random.fold_in(key, 2), t) if t else key
            if t == 0 or not self._remembers:
                epsilon = first_noise(params, frame, own)
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
          frames: [B, T, H, W, C], all of which start anew: frame 0 only, or those of a model
            without memory.
          keys: one per video, [B].
          first: the first draw, [T, R + 1, B, K, D].
          restarts: number of draws.
        """
        own = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
        count = (restarts - 1) * len(first)
        others = self._noise(own, num_frames=count, num_slots=first.shape[3])
        draws = jnp.concatenate([first[None], others.reshape(restarts - 1, *first.shape)])

        def free_energy(draw: Array) -> Array:
            epsilon = draw.at[:, -1].set(0.0)
            result = infer_video(self.model, params, frames, epsilon, self.objective.elbo)
            nll, kl = result.terms[0].nll[:, -1], result.terms[0].kl[:, -1].sum(-1)
            return self.objective.beta * nll + self.objective.psi * kl

        energies = lax.map(free_energy, draws)
        # To argmin a NaN is the least of all.
        best = jnp.where(jnp.isnan(energies), jnp.inf, energies).argmin(0)  # [T, B]
        return jnp.take_along_axis(draws, best[None, :, None, :, None, None], axis=0)[0]

    def _nll(self, means: Array, masks: Array, frames: Array) -> Array:
        """−log p(x_t|z_t) of decoded frames, without its constant, nats: [T, B]."""
        settings = self.model.inference

        def of_frame(means: Array, masks: Array, frame: Array) -> Array:
            exponents = likelihood.slot_exponents(frame, means, variance=settings.variance)
            log_likelihood = likelihood.mixture_log_likelihood(
                exponents, masks[..., None], mixture=settings.mixture
            )
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


def _decomposition(frames: FrameResult, kl: Array) -> Decomposition:
    """What training and evaluation see of frames; axes as they come."""
    latents = Latents(frames.posterior.mean, frames.context.h)
    return Decomposition(frames.reconstruction, frames.masks, frames.means, kl, latents=latents)
