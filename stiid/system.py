"""The model as training, evaluation and prediction use it: videos in bytes, keys per video."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from stiid.experiment import Experiment
from stiid.inference import infer_video
from stiid.model import Inference, Model, init_params
from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.objective import Loss, Objective, loss
from stiid.shapes import Array, Params


class Decomposition(NamedTuple):
    """A batch of decomposed videos, batch-major."""

    reconstruction: Array  # [B, T, H, W, C] in [0, 1]
    masks: Array  # [B, T, K, H, W]
    means: Array  # [B, T, K, H, W, C] each slot's own picture, in [0, 1]
    kl: Array  # [B, T, K] nats of the last posterior against the prior


@dataclass(frozen=True)
class System:
    """A model with its objective, for one stage of training or for test.

    Attributes:
      model: networks and procedure.
      objective: weights of the loss; its β and ψ also weigh the gradients that inference uses.
    """

    model: Model
    objective: Objective

    def init(self, key: Array) -> Params:
        """Draw the parameters."""
        return init_params(self.model, key)

    def loss(self, params: Params, video: Array, keys: Array, *, num_slots: int) -> Loss:
        """The loss of each video.

        Args:
          params: from ``init``.
          video: uint8 [B, T, H, W, C].
          keys: one per video, [B]; all noise of a video comes from its key.
          num_slots: K.
        """
        frames = _unit_range(video)
        noise = self._noise(keys, num_frames=video.shape[1], num_slots=num_slots)
        result = infer_video(self.model, params, frames, noise, self.objective.elbo)
        return loss(self.objective, result, frames)

    def decompose(
        self,
        params: Params,
        video: Array,
        keys: Array,
        *,
        num_slots: int,
        num_simulated: int = 0,
        noise: str,
    ) -> Decomposition:
        """Infer the frames of a video, and simulate ``num_simulated`` more.

        Args:
          params: from ``init``.
          video: uint8 [B, T, H, W, C].
          keys: one per video, [B].
          num_slots: K, which may differ from training.
          num_simulated: frames to simulate after the last one.
          noise: "first" or "all", see ``experiment.Evaluate``.
        """
        total = video.shape[1] + num_simulated
        epsilon = self._noise(keys, num_frames=total, num_slots=num_slots)
        if noise == "first":
            refinements = self.model.inference.refinements
            epsilon = epsilon.at[1:].set(0.0).at[0, refinements:].set(0.0)
        frames = _unit_range(video)
        result = infer_video(
            self.model,
            params,
            frames,
            epsilon,
            self.objective.elbo,
            num_simulated=num_simulated,
        )
        kl = jnp.concatenate([terms.kl[:, -1] for terms in result.terms])
        reconstruction, masks, means, *_ = result.frames
        return Decomposition(*(jnp.swapaxes(x, 0, 1) for x in (reconstruction, masks, means, kl)))

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


def build(
    experiment: Experiment, *, image_shape: tuple[int, int, int], inference: Inference | None = None
) -> System:
    """The system of an experiment for images of a shape [H, W, C].

    Raises:
      ValueError: a network section has a missing or unknown field.
    """
    config = experiment.model
    height, width, channels = image_shape

    def leaf(name: str, cls: Callable[..., Any], **given: int) -> Any:
        try:
            return cls(**given, **getattr(config, name))
        except (TypeError, ValueError) as error:
            raise ValueError(f"config.model.{name}: {error}") from None

    model = Model(
        decoder=leaf("decoder", BroadcastDecoder, height=height, width=width, channels=channels),
        refiner=leaf("refiner", Refiner, latent_size=config.latent_size),
        prior=leaf("prior", ConditionalPrior, latent_size=config.latent_size),
        inference=inference or config.inference,
    )
    return System(model, experiment.objective)


def row_keys(key: Array, rows: Array) -> Array:
    """One key per row of a global batch, whatever device or process holds the row."""
    return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)


def _unit_range(video: Array) -> Array:
    return video.astype(jnp.float32) / 255.0
