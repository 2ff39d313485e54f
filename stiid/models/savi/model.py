"""SAVi as a ``VideoModel`` of ``models.base``."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiid.method import likelihood
from stiid.models.base import CuedVideo, Decoding, Decomposition, Latents, unit_range
from stiid.models.savi import procedure
from stiid.models.savi.networks import Corrector, FrameEncoder, Predictor, SlotDecoder
from stiid.models.savi.procedure import SaviLoss, Steps
from stiid.models.savi.starts import CuedSlots, LearnedSlots, SampledSlots, boxes, noise
from stiid.shapes import Array, Decoded, Params


@dataclass(frozen=True, kw_only=True)
class Savi:
    """SAVi: a ``models.base.VideoModel``.

    Attributes:
      num_slots: K in training.
      size: of a slot, S.
      first_iterations: see ``procedure.observe``.
      iterations: see ``procedure.observe``.
      start: see ``starts``.
      encoder: see ``networks``.
      corrector: see ``networks``.
      predictor: see ``networks``.
      decoder: see ``networks``.
    """

    num_slots: int
    size: int
    first_iterations: int
    iterations: int
    start: LearnedSlots | SampledSlots | CuedSlots
    encoder: FrameEncoder
    corrector: Corrector
    predictor: Predictor
    decoder: SlotDecoder

    @property
    def cued(self) -> bool:
        """See ``models.base.CuedModel``."""
        return isinstance(self.start, CuedSlots)

    def init(self, key: Array) -> Params:
        """Initialize the parameters."""
        image = jnp.zeros((1, self.decoder.height, self.decoder.width, self.decoder.channels))
        slots = jnp.zeros((1, self.num_slots, self.size))
        inputs = jnp.zeros((1, 1, self.encoder.features[-1]))
        starts = {LearnedSlots: 1, SampledSlots: slots, CuedSlots: slots[..., :4]}
        keys = jax.random.split(key, 5)
        return {
            "start": self.start.init(keys[0], starts[type(self.start)])["params"],
            "encoder": self.encoder.init(keys[1], image)["params"],
            "corrector": self.corrector.init(keys[2], slots, inputs, 1)["params"],
            "predictor": self.predictor.init(keys[3], slots)["params"],
            "decoder": self.decoder.init(keys[4], slots)["params"],
        }

    def loss(self, params: Params, video: Array | CuedVideo, keys: Array) -> SaviLoss:
        """See ``models.base.VideoModel``."""
        video, objects = _parts(video)
        frames = unit_range(video)
        slots = self._start(params, keys, objects, num_slots=self.num_slots)
        slots, _ = self._observe(params, slots, frames)
        decoded = self._decode(params, slots.reshape(-1, *slots.shape[2:]))
        image = likelihood.mix(likelihood.slot_masks(decoded.logits), decoded.means)
        image = image.reshape(frames.shape[1], frames.shape[0], *frames.shape[2:])
        return procedure.loss(jnp.swapaxes(image, 0, 1), frames)

    def after_update(self, params: Params, terms: SaviLoss) -> Params:
        """See ``models.base.VideoModel``: all parameters have gradients."""
        return params

    def decompose(
        self,
        params: Params,
        video: Array | CuedVideo,
        keys: Array,
        decoding: Decoding,
        *,
        num_simulated: int = 0,
    ) -> Decomposition:
        """See ``models.base.VideoModel``. The only noise is that of sampled first slots."""
        self._check(decoding)
        video, objects = _parts(video)
        start = self._start(params, keys, objects, num_slots=decoding.num_slots)
        slots, predicted = self._observe(params, start, unit_range(video))
        simulated = procedure.simulate(self._steps(params), predicted, num_frames=num_simulated)
        slots = jnp.concatenate([slots, simulated])
        # Frame by frame: decoded at once, a batch of long clips would take gigabytes.
        parts = lax.map(lambda x: self._decomposition(params, x), slots)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), parts)

    def stream(
        self, params: Params, frames: Iterable[np.ndarray], key: Array, decoding: Decoding
    ) -> Iterator[Decomposition]:
        """See ``models.base.StreamingModel``."""
        self._check(decoding)
        if self.cued:
            raise ValueError(
                "the model starts from the true objects of the first frame, which a stream does "
                "not have: use decompose(video, objects=…), or train with start='sampled'"
            )
        slots = self._start(params, key[None], None, num_slots=decoding.num_slots)
        for t, frame in enumerate(frames):
            slots, part = _step(self, params, slots, frame, first=t == 0)
            yield jax.device_get(jax.tree.map(lambda x: x[None], part))

    def decode(self, params: Params, latents: Latents) -> Decomposition:
        """See ``models.base.LatentModel``: z is a slot; there is no h."""
        batch, frames = latents.z.shape[:2]
        parts = self._decomposition(params, latents.z.reshape(-1, *latents.z.shape[2:]))
        parts = jax.tree.map(lambda x: x.reshape(batch, frames, *x.shape[1:]), parts)
        return parts._replace(latents=latents)

    @property
    def latent_sizes(self) -> tuple[int, int]:
        """See ``models.base.LatentModel``."""
        return self.size, 0

    def _steps(self, params: Params) -> Steps:
        """The networks of a frame."""
        corrector, predictor = ({"params": params[name]} for name in ("corrector", "predictor"))

        def correct(slots: Array, inputs: Array, iterations: int) -> Array:
            return cast(Array, self.corrector.apply(corrector, slots, inputs, iterations))

        def predict(slots: Array) -> Array:
            return cast(Array, self.predictor.apply(predictor, slots))

        return Steps(correct, predict)

    def _start(
        self, params: Params, keys: Array, objects: Array | None, *, num_slots: int
    ) -> Array:
        """The slots [B, K, S] that the first frame starts from."""
        variables = {"params": params["start"]}
        if objects is not None:
            places = boxes(objects, num_slots=num_slots)
            return cast(Array, self.start.apply(variables, places))
        if isinstance(self.start, LearnedSlots):
            return cast(Array, self.start.apply(variables, len(keys)))
        sample = noise(keys, num_slots=num_slots, size=self.size)
        return cast(Array, self.start.apply(variables, sample))

    def _encode(self, params: Params, frames: Array) -> Array:
        return cast(Array, self.encoder.apply({"params": params["encoder"]}, frames))

    def _decode(self, params: Params, slots: Array) -> Decoded:
        return cast(Decoded, self.decoder.apply({"params": params["decoder"]}, slots))

    def _observe(self, params: Params, slots: Array, frames: Array) -> tuple[Array, Array]:
        """See ``procedure.observe``; frames are [B, T, H, W, C]."""
        frames = jnp.swapaxes(frames, 0, 1)
        inputs = self._encode(params, frames.reshape(-1, *frames.shape[2:]))
        return procedure.observe(
            self._steps(params),
            slots,
            inputs.reshape(*frames.shape[:2], *inputs.shape[1:]),
            first_iterations=self.first_iterations,
            iterations=self.iterations,
        )

    def _decomposition(self, params: Params, slots: Array) -> Decomposition:
        """Decompose by slots [N, K, S], without an axis of frames; colors are clipped to [0, 1]."""
        decoded = self._decode(params, slots)
        masks = likelihood.slot_masks(decoded.logits)
        return Decomposition(
            reconstruction=jnp.clip(likelihood.mix(masks, decoded.means), 0.0, 1.0),
            masks=masks[..., 0],
            means=jnp.clip(decoded.means, 0.0, 1.0),
            kl=jnp.zeros(slots.shape[:2]),  # slots are points, without posterior and prior
            latents=Latents(slots, slots[..., :0]),
        )

    def _check(self, decoding: Decoding) -> None:
        """Refuse options of a decomposition that mean nothing here."""
        if decoding.restarts != 1:
            raise ValueError(
                f"evaluate.restarts: SAVi starts once, got {decoding.restarts}: set it to 1"
            )
        if isinstance(self.start, LearnedSlots) and decoding.num_slots != self.num_slots:
            raise ValueError(
                f"num_slots: start='learned' has a vector for each of {self.num_slots} slots, got "
                f"{decoding.num_slots}: train with start='sampled' to change their number"
            )


def _parts(video: Array | CuedVideo) -> tuple[Array, Array | None]:
    """Frames, and the objects of the first one, if they are given."""
    return video if isinstance(video, CuedVideo) else (video, None)


@functools.partial(jax.jit, static_argnames=("model", "first"))
def _step(
    model: Savi, params: Params, predicted: Array, frame: Array, *, first: bool
) -> tuple[Array, Decomposition]:
    """The next frame [H, W, C] of a stream: slots of the one after it, and its decomposition."""
    steps = model._steps(params)
    inputs = model._encode(params, unit_range(frame)[None])
    iterations = model.first_iterations if first else model.iterations
    slots = steps.correct(predicted, inputs, iterations)
    return steps.predict(slots), model._decomposition(params, slots)
