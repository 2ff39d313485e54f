"""R-NEM as a ``VideoModel`` of ``models.base``, and its section of a config."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp

from stiid.models.base import Decoding, Decomposition, unit_range
from stiid.models.rnem import procedure
from stiid.models.rnem.networks import Decoder, Encoder, PlainCell, RelationalCell
from stiid.models.rnem.procedure import RnemLoss, Slots
from stiid.shapes import Array, Params


@dataclass(frozen=True, kw_only=True)
class RnemConfig:
    """R-NEM and its two ablations. The defaults are the original's on 4 balls.

    Attributes:
      family: "rnem".
      num_slots: K in training, balls + 1.
      cell: "r_nem"; "r_nem_no_attention": all other slots have weight 1; "rnn_em": slots do not
        interact.
      features: channels of the encoder's convolutions.
      hidden: F.
      state_size: M.
      attention_features: width of the attention network of "r_nem".
      flip_probability: probability that a pixel of the input is flipped, in training and test.
      inter_weight: weight of the inter-cluster loss.
    """

    family: Literal["rnem"] = "rnem"
    num_slots: int = 5
    cell: Literal["r_nem", "r_nem_no_attention", "rnn_em"] = "r_nem"
    features: tuple[int, ...] = (16, 32, 64)
    hidden: int = 512
    state_size: int = 250
    attention_features: int = 100
    flip_probability: float = 0.2
    inter_weight: float = 1.0

    def __post_init__(self) -> None:
        """Validate the fields."""
        sizes = (*self.features, self.hidden, self.state_size, self.attention_features)
        if not self.features or min(sizes) < 1:
            raise ValueError(f"rnem: layer sizes must be at least 1, got {sizes}")
        if not 0.0 <= self.flip_probability <= 1.0:
            raise ValueError(f"flip_probability must lie in [0, 1], got {self.flip_probability}")
        _check_slots(self.cell, self.num_slots)

    def build(self, image_shape: tuple[int, int, int]) -> "Rnem":
        """See ``models.base.ModelConfig``."""
        height, width, channels = image_shape
        factor = 2 ** len(self.features)
        if height % factor or width % factor:
            raise ValueError(
                f"config.model.features: {len(self.features)} convolutions need images whose sides "
                f"are multiples of {factor}, got {height}×{width}"
            )
        attention = self.attention_features if self.cell == "r_nem" else None
        return Rnem(
            config=self,
            encoder=Encoder(self.features, self.hidden),
            cell=PlainCell(self.state_size)
            if self.cell == "rnn_em"
            else RelationalCell(self.state_size, attention),
            decoder=Decoder(height, width, channels, self.features, self.hidden),
        )


@dataclass(frozen=True)
class Rnem:
    """R-NEM: a ``models.base.VideoModel``.

    Attributes:
      config: section of the config.
      encoder: see ``networks``.
      cell: see ``networks``.
      decoder: see ``networks``.
    """

    config: RnemConfig
    encoder: Encoder
    cell: RelationalCell | PlainCell
    decoder: Decoder

    @property
    def num_slots(self) -> int:
        """K in training."""
        return self.config.num_slots

    def init(self, key: Array) -> Params:
        """Initialize the parameters."""
        keys, size, slots = jax.random.split(key, 3), self.config.state_size, 2
        image = jnp.zeros((1, self.decoder.height, self.decoder.width, self.decoder.channels))
        inputs, hidden = jnp.zeros((1, slots, self.config.hidden)), jnp.zeros((1, slots, size))
        return {
            "encoder": self.encoder.init(keys[0], image)["params"],
            "cell": self.cell.init(keys[1], inputs, hidden)["params"],
            "decoder": self.decoder.init(keys[2], hidden[0])["params"],
        }

    def loss(self, params: Params, video: Array, keys: Array) -> RnemLoss:
        """See ``models.base.VideoModel``."""
        if video.shape[1] < 2:
            raise ValueError(
                f"R-NEM predicts the next frame: clips need at least 2 frames, got {video.shape[1]}"
            )
        frames = jnp.swapaxes(unit_range(video), 0, 1)
        slots, flips = self._noise(keys, num_frames=len(frames) - 1, num_slots=self.num_slots)
        slots = procedure.observe(self._network(params), slots, frames, flips)
        return procedure.loss(slots, frames[1:], inter_weight=self.config.inter_weight)

    def after_update(self, params: Params, terms: RnemLoss) -> Params:
        """See ``models.base.VideoModel``: all parameters have gradients."""
        return params

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

        Frame 0 shows the start: no prediction, and random masks. With noise "first", only this
        start is random; "all" (the original) also flips the bits of every input.
        """
        _check_slots(self.config.cell, decoding.num_slots)
        if decoding.restarts != 1:
            raise ValueError(
                f"evaluate.restarts: R-NEM starts once, got {decoding.restarts}: set it to 1"
            )
        frames = jnp.swapaxes(unit_range(video), 0, 1)
        seen = len(frames) - 1
        first, flips = self._noise(
            keys, num_frames=seen + num_simulated, num_slots=decoding.num_slots
        )
        if decoding.noise == "first":
            flips = jnp.zeros_like(flips)
        network = self._network(params)
        parts = [jax.tree.map(lambda x: x[None], first)]
        parts.append(procedure.observe(network, first, frames, flips[:seen]))
        last = jax.tree.map(lambda *x: jnp.concatenate(x)[-1], *parts)
        parts.append(procedure.simulate(network, last, flips[seen:]))
        slots: Slots = jax.tree.map(lambda *x: jnp.swapaxes(jnp.concatenate(x), 0, 1), *parts)
        return Decomposition(
            reconstruction=jax.vmap(procedure.reconstruct)(slots),
            masks=slots.shares[..., 0],
            means=slots.means,
            kl=jnp.zeros(slots.shares.shape[:3]),  # states are points, without posterior and prior
        )

    def _network(self, params: Params) -> procedure.Network:
        """Chain the three networks, for all slots of all videos."""

        def apply(seen: Array, hidden: Array) -> tuple[Array, Array]:
            batch, slots, *image = seen.shape
            flat = seen.reshape(batch * slots, *image)
            inputs = cast(Array, self.encoder.apply({"params": params["encoder"]}, flat))
            inputs = inputs.reshape(batch, slots, -1)
            output: Any = self.cell.apply({"params": params["cell"]}, inputs, hidden)
            states, hidden = output
            flat = states.reshape(batch * slots, -1)
            means = cast(Array, self.decoder.apply({"params": params["decoder"]}, flat))
            return means.reshape(seen.shape), hidden

        return apply

    def _noise(self, keys: Array, *, num_frames: int, num_slots: int) -> tuple[Slots, Array]:
        """The slots at the start, and flips [frames, B, H, W, C], each video's from its own key."""
        image = (self.decoder.height, self.decoder.width)
        channels, chance = self.decoder.channels, self.config.flip_probability

        def of_video(key: Array) -> tuple[Array, Array]:
            ours, theirs = jax.random.split(key)
            shape = (num_frames, *image, channels)
            flips = jax.random.bernoulli(theirs, chance, shape).astype(jnp.float32)
            return jax.random.normal(ours, (num_slots, *image, 1)), flips

        shares, flips = jax.vmap(of_video)(keys)
        first = procedure.start(shares, hidden_size=self.config.state_size, channels=channels)
        return first, jnp.swapaxes(flips, 0, 1)


def _check_slots(cell: str, num_slots: int) -> None:
    least = 1 if cell == "rnn_em" else 2
    if num_slots < least:
        raise ValueError(f"num_slots: cell {cell!r} needs at least {least}, got {num_slots}")
