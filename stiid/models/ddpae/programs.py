"""DDPAE's networks put together: from given frames to motion, content and components."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from stiid.models.ddpae import procedure, transformer
from stiid.models.ddpae.networks import LSTM, GaussianHead, ImageDecoder, ImageEncoder
from stiid.models.ddpae.procedure import LatentGroups, Normal
from stiid.shapes import Array, Params

POSE = 3  # scale, x, y


class DdpaeResult(NamedTuple):
    """The result of a pass over videos; shapes as in ``procedure``, S rows and columns."""

    posterior: LatentGroups[Normal]
    sample: LatentGroups[Array]
    poses: Array  # [B, T + P, N, 3]
    components: Array  # [B, T + P, N, S, S, C]
    statistics: Params  # of the batch norms, updated if in training


@dataclass(frozen=True, kw_only=True)
class DdpaeNetworks:
    """Sizes of the networks, see ``model.DdpaeConfig``; the parameters are passed to each method.

    Attributes:
      size: rows and columns S of a frame, a power of two; components are rendered at S / 2.
      channels: C.
      features: of the convolutions.
      frame_code: E.
      hidden: H.
      content: Z.
      scale: prior mean of the pose's scale.
      independent: components are predicted without seeing each other.
    """

    size: int
    channels: int
    features: int
    frame_code: int
    hidden: int
    content: int
    scale: float
    independent: bool

    def init(self, key: Array) -> Params:
        """Initialize the parameters, and the running averages of batch norms in "statistics"."""
        half, state = self.size // 2, (jnp.zeros((1, self.hidden)),) * 2
        frame = jnp.zeros((1, self.size, self.size, self.channels))
        hidden = {
            "encode_lstm": self.frame_code + self.hidden,
            "predict_lstm": self.hidden * (1 if self.independent else 2),
            "initial_lstm": self.hidden,
            "content_lstm": self.content,
        }
        inputs: dict[str, Any] = {name: (jnp.zeros((1, n)), state) for name, n in hidden.items()}
        for name in ("transition_head", "initial_head", "content_head"):
            inputs[name] = (state[0],)
        images = {
            "frame_encoder": frame,
            "object_encoder": frame[:, :half, :half],
            "object_decoder": jnp.zeros((1, self.content)),
        }
        params: dict[str, Any] = {"statistics": {}}
        for i, (name, module) in enumerate(self._modules().items()):
            own = jax.random.fold_in(key, i)
            if name in images:
                variables = module.init(own, images[name], train=False)
                params["statistics"][name] = variables.get("batch_stats", {})
            else:
                variables = module.init(own, *inputs[name])
            params[name] = variables["params"]
        return params

    def run(
        self,
        params: Params,
        frames: Array,
        noise: LatentGroups[Array],
        *,
        num_predicted: int,
        train: bool,
    ) -> DdpaeResult:
        """Infer from frames [B, T, S, S, C], and render them and the P predicted ones."""
        (batch, seen), image = frames.shape[:2], frames.shape[2:]
        modules, statistics = self._modules(), dict(params["statistics"])

        def network(name: str) -> Callable[..., Any]:
            return lambda *inputs: modules[name].apply({"params": params[name]}, *inputs)

        def images(name: str, x: Array) -> Array:
            variables = {"params": params[name], "batch_stats": params["statistics"][name]}
            out, new = modules[name].apply(variables, x, train=train, mutable=["batch_stats"])
            statistics[name] = new.get("batch_stats", {})
            return out

        codes = images("frame_encoder", frames.reshape(-1, *image)).reshape(batch, seen, -1)
        states, last = procedure.read_frames(
            network("encode_lstm"),
            codes,
            num_components=noise.initial.shape[1],
            hidden=self.hidden,
        )
        future = procedure.foresee(
            network("predict_lstm"),
            last,
            num_predicted=num_predicted,
            chain=not self.independent,
        )
        moves = Normal(*network("transition_head")(jnp.concatenate([states, future], axis=1)))
        chain = procedure.summarize(
            network("initial_lstm"), states[:, 0], hidden=self.hidden
        )  # [N, B, H]
        transitions = Normal(*(jnp.transpose(x, (2, 1, 0, 3)) for x in moves))
        initial = Normal(*(jnp.swapaxes(x, 0, 1) for x in network("initial_head")(chain)))

        changes = procedure.sample(transitions, noise.transitions)
        start = procedure.sample(initial, noise.initial)
        poses = procedure.poses(changes, start, scale=self.scale)
        crops = transformer.crop(frames[:, :, None], poses[:, :seen], size=self.size // 2)
        codes = images("object_encoder", crops.reshape(-1, *crops.shape[3:]))
        codes = jnp.swapaxes(codes.reshape(batch, seen, -1, self.content), 0, 1)
        last_state = procedure.summarize(network("content_lstm"), codes, hidden=self.hidden)[-1]
        content = Normal(*network("content_head")(last_state))
        z = procedure.sample(content, noise.content)

        objects = images("object_decoder", z.reshape(-1, self.content))
        objects = objects.reshape(batch, 1, -1, *objects.shape[1:])
        return DdpaeResult(
            posterior=LatentGroups(transitions, initial, content),
            sample=LatentGroups(changes, start, z),
            poses=poses,
            components=transformer.place(objects, poses, size=self.size),
            statistics=statistics,
        )

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "frame_encoder": ImageEncoder(self.features, self.frame_code),
            "encode_lstm": LSTM(self.hidden),
            "predict_lstm": LSTM(self.hidden),
            "transition_head": GaussianHead(POSE),
            "initial_lstm": LSTM(self.hidden),
            "initial_head": GaussianHead(POSE),
            "object_encoder": ImageEncoder(self.features, self.content),
            "content_lstm": LSTM(self.hidden),
            "content_head": GaussianHead(self.content),
            "object_decoder": ImageDecoder(self.size // 2, self.channels, self.features),
        }
