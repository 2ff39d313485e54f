"""DDPAE as a ``VideoModel`` of ``models.base``, and its section of a config."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from stiid.models.base import Decoding, Decomposition, unit_range
from stiid.models.ddpae import procedure, transformer
from stiid.models.ddpae.procedure import LatentGroups
from stiid.models.ddpae.programs import POSE, DdpaeNetworks
from stiid.shapes import Array, Params

_VARIANCE = 0.3**2


@dataclass(frozen=True, kw_only=True)
class DdpaeConfig:
    """DDPAE. The defaults are the original's on bouncing balls at 128×128.

    Attributes:
      family: "ddpae".
      num_slots: components N in training, without the black background.
      num_observed: T, frames of a training clip that are given; the others are predicted.
      features: channels of the first convolutions.
      frame_code: E.
      hidden: H.
      content: Z.
      scale: prior mean of the pose's scale: a component's window has 1/scale of the frame's side.
      independent: components are predicted without seeing each other.
      scored: frames in the likelihood, "all" or "predicted" only.
    """

    family: Literal["ddpae"] = "ddpae"
    num_slots: int = 4
    num_observed: int = 10
    features: int = 8
    frame_code: int = 256
    hidden: int = 128
    content: int = 128
    scale: float = 4.0
    independent: bool = False
    scored: Literal["all", "predicted"] = "all"

    def __post_init__(self) -> None:
        """Validate the fields."""
        names = ("num_slots", "num_observed", "features", "frame_code", "hidden", "content")
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.scale <= 1.5:
            raise ValueError(f"scale must exceed 1.5 (it may fall by 1), got {self.scale}")

    def build(self, image_shape: tuple[int, int, int]) -> "Ddpae":
        """See ``models.base.ModelConfig``."""
        height, width, channels = image_shape
        if height != width or height < 16 or height & (height - 1):
            raise ValueError(
                "DDPAE needs square images whose side is a power of two of at least 16, "
                f"got {height}×{width}"
            )
        model = DdpaeNetworks(
            size=height,
            channels=channels,
            features=self.features,
            frame_code=self.frame_code,
            hidden=self.hidden,
            content=self.content,
            scale=self.scale,
            independent=self.independent,
        )
        return Ddpae(self, model)


class DdpaeLoss(NamedTuple):
    """The loss of each video, minus a single-sample ELBO; nats, without the likelihood's constant.

    The original sums over the batch where training takes the mean: for Adam the same direction.
    """

    total: Array  # [B]
    nll: Array  # [B]
    kl: Array  # [B] log q − log p of the sample, which may be negative
    mse: Array  # [B] mean over all frames, pixels and channels
    predicted_mse: Array  # [B] mean over the predicted frames
    statistics: Params  # running averages of the batch norms, [B, …] each, all rows equal


@dataclass(frozen=True)
class Ddpae:
    """DDPAE: a ``models.base.VideoModel``.

    The running averages of the batch norms are kept among the parameters, under "statistics". They
    get no gradient; ``after_update`` replaces them by those that ``loss`` returns.

    Attributes:
      config: section of the config.
      model: networks and procedure.
    """

    config: DdpaeConfig
    model: DdpaeNetworks

    def init(self, key: Array) -> Params:
        """Initialize the parameters, and start the running averages."""
        return self.model.init(key)

    def loss(self, params: Params, video: Array, keys: Array) -> DdpaeLoss:
        """See ``models.base.VideoModel``. Videos interact only in the batch norm."""
        config, total = self.config, video.shape[1]
        seen = config.num_observed
        if total <= seen:
            raise ValueError(
                f"DDPAE predicts the frames after model.num_observed = {seen}: clips need more "
                f"frames than that, got {total}"
            )
        frames = unit_range(video)
        noise = self._noise(keys, num_frames=total, num_slots=config.num_slots)
        result = self.model.run(
            params, frames[:, :seen], noise, num_predicted=total - seen, train=True
        )
        errors = procedure.squared_errors(procedure.compose(result.components), frames)
        scored = errors if config.scored == "all" else errors[:, seen:]
        nll = scored.sum(1) / (2.0 * _VARIANCE)
        prior = procedure.prior(config.scale)
        triples = zip(result.posterior, prior, result.sample, strict=True)
        ratios = [procedure.log_ratio(*triple).reshape(len(video), -1) for triple in triples]
        kl = jnp.concatenate(ratios, axis=1).sum(1)
        pixels = self.model.size**2 * self.model.channels
        return DdpaeLoss(
            total=nll + kl,
            nll=nll,
            kl=kl,
            mse=errors.mean(1) / pixels,
            predicted_mse=errors[:, seen:].mean(1) / pixels,
            statistics=jax.tree.map(
                lambda x: jnp.broadcast_to(x, (len(video), *x.shape)), result.statistics
            ),
        )

    def after_update(self, params: Params, terms: Any) -> Params:
        """See ``models.base.VideoModel``: the running averages of the batch norms."""
        return {**params, "statistics": terms.statistics}

    def decompose(
        self,
        params: Params,
        video: Array,
        keys: Array,
        decoding: Decoding,
        *,
        num_simulated: int = 0,
    ) -> Decomposition:
        """See ``models.base.VideoModel``.

        Noise "first" takes all posterior means (the original): nothing needs noise to break the
        symmetry of components. "all" samples. The content is inferred from all given frames, so
        that a frame's decomposition depends on later ones.

        DDPAE has no masks. A pixel is divided in proportion to the brightness of the components;
        the rest, up to white, belongs to the background. So masks and means have N + 1 slots, and
        the last one is the background.
        """
        if decoding.restarts != 1:
            raise ValueError(
                f"evaluate.restarts: DDPAE has no random start, got {decoding.restarts}: set it to "
                "1"
            )
        total = video.shape[1] + num_simulated
        noise = self._noise(keys, num_frames=total, num_slots=decoding.num_slots)
        if decoding.noise == "first":
            noise = jax.tree.map(jnp.zeros_like, noise)
        frames = unit_range(video)
        result = self.model.run(params, frames, noise, num_predicted=num_simulated, train=False)
        masks, means = _masks_and_means(result.components)
        prior = procedure.prior(self.config.scale)
        pairs = zip(result.posterior, prior, strict=True)
        moves, start, content = (procedure.divergence(*pair) for pair in pairs)
        kl = moves.at[:, 0].add(start + content)
        return Decomposition(
            reconstruction=procedure.compose(result.components),
            masks=masks,
            means=means,
            kl=jnp.pad(kl, ((0, 0), (0, 0), (0, 1))),
            positions=transformer.center(result.poses),
        )

    def _noise(self, keys: Array, *, num_frames: int, num_slots: int) -> LatentGroups[Array]:
        """Standard normal noise, each video's from its own key."""
        shapes = LatentGroups(
            (num_frames, num_slots, POSE), (num_slots, POSE), (num_slots, self.config.content)
        )

        def of_video(key: Array) -> LatentGroups[Array]:
            keys = jax.random.split(key, len(shapes))
            return LatentGroups(*map(jax.random.normal, keys, shapes))

        return jax.vmap(of_video)(keys)


def _masks_and_means(components: Array) -> tuple[Array, Array]:
    """Masks [B, T, N + 1, S, S] and means [B, T, N + 1, S, S, C] of components and background."""
    light = components.max(-1)
    background = jnp.maximum(1.0 - light.sum(2, keepdims=True), 0.0)
    masks = jnp.concatenate([light, background], axis=2)
    means = components / jnp.maximum(light, 1e-6)[..., None]
    means = jnp.concatenate([means, jnp.zeros_like(means[:, :, :1])], axis=2)
    return masks / masks.sum(2, keepdims=True), means
