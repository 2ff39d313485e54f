"""The interface of all models to training, evaluation and prediction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from stiid.shapes import Array, Params

NOISE = ("first", "all")


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Options of a decomposition; hashable, so that it may be a static argument.

    Attributes:
      num_slots: K, which may differ from training.
      noise: "first": z is sampled in frame 0 only, where slots must break their symmetry, and is
        the posterior mean afterwards and in the decode after the last refinement; "all": always
        sampled. For a model without memory (IODINE), every frame is frame 0.
      restarts: number of noise samples of frame 0; the one with the lowest negative ELBO is kept.
      restart_frames: number of first frames over which that negative ELBO is summed. More than 1
        looks ahead. A model without memory chooses in each frame alone.
    """

    num_slots: int
    noise: str = "first"
    restarts: int = 1
    restart_frames: int = 1

    def __post_init__(self) -> None:
        """Refuse an unknown kind of noise, and counts below 1."""
        if self.noise not in NOISE:
            raise ValueError(f"noise: expected one of {NOISE}, got {self.noise!r}")
        for name in ("num_slots", "restarts", "restart_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Latents(NamedTuple):
    """The decoder's inputs behind a decomposition, if z was the posterior mean."""

    z: Array  # [B, T, K, D] posterior means
    h: Array  # [B, T, K, M] temporal hidden states h_{t−1,R̂}


class Decomposition(NamedTuple):
    """A batch of decomposed videos, batch-major."""

    reconstruction: Array  # [B, T, H, W, C] in [0, 1]
    masks: Array  # [B, T, K, H, W]
    means: Array  # [B, T, K, H, W, C] each slot's own image, in [0, 1]
    kl: Array  # [B, T, K] nats of the last posterior against the prior
    positions: Array | None = None  # [B, T, N, 2] objects' positions, if the model infers them
    latents: Latents | None = None  # of models that decode each slot from a latent


class CuedVideo(NamedTuple):
    """Videos, and where the objects of their first frames are: what ``CuedModel`` starts from."""

    video: Array  # uint8 [B, T, H, W, C]
    objects: Array  # uint8 [B, H, W], 0 is the background, 1 … an object each


class LossTerms(Protocol):
    """A named tuple with the loss of each video, ``total`` [B], and terms that users watch [B].

    A term that is a dict is for ``VideoModel.after_update`` and not watched; its leaves are [B, …].
    """

    @property
    def total(self) -> Array: ...  # noqa: D102

    def _asdict(self) -> dict[str, Array]: ...


class VideoModel(Protocol):
    """A model with its loss, for one stage of training or for test: pure functions of parameters.

    All noise of a video comes from its own key, independent of its batch and device.
    """

    def init(self, key: Array) -> Params:
        """Initialize the parameters."""

    def loss(self, params: Params, video: Array, keys: Array) -> LossTerms:
        """The loss of each video.

        Args:
          params: from ``init``.
          video: uint8 [B, T, H, W, C].
          keys: one per video, [B].
        """

    def after_update(self, params: Params, terms: Any) -> Params:
        """Hook for state without gradients (batch-norm averages) after each update.

        Args:
          params: updated.
          terms: of ``loss``, each the mean over the global batch.
        """

    def decompose(
        self,
        params: Params,
        video: Array,
        keys: Array,
        decoding: Decoding,
        *,
        num_simulated: int = 0,
    ) -> Decomposition:
        """Infer the frames of a video, and simulate ``num_simulated`` more.

        Args:
          params: from ``init``.
          video: uint8 [B, T, H, W, C].
          keys: one per video, [B].
          decoding: slots and noise.
          num_simulated: frames to simulate after the last one.
        """


@runtime_checkable
class StreamingModel(Protocol):
    """A model that decomposes a video of any length in the memory of one frame."""

    def stream(
        self, params: Params, frames: Iterable[np.ndarray], key: Array, decoding: Decoding
    ) -> Iterator[Decomposition]:
        """Infer the frames of one video as they come.

        Args:
          params: from ``VideoModel.init``.
          frames: uint8 [H, W, C] each.
          key: of the video.
          decoding: slots and noise. With restarts, ``restart_frames`` frames are taken before the
            first result.

        Yields:
          A decomposition of each frame, B = T = 1, as NumPy arrays. With ``noise="first"`` it
          equals that of ``VideoModel.decompose``, except that a model without memory gets other
          noise.
        """


@runtime_checkable
class CuedModel(Protocol):
    """A model that may need the true objects of first frames, in training and at test.

    If it does, it takes a ``CuedVideo`` wherever ``VideoModel`` takes a video.
    """

    @property
    def cued(self) -> bool:
        """Whether it needs them."""


@runtime_checkable
class LatentModel(Protocol):
    """A model that decodes each slot from a latent."""

    @property
    def latent_sizes(self) -> tuple[int, int]:
        """(D, M): of z and of the temporal hidden state h."""

    def decode(self, params: Params, latents: Latents) -> Decomposition:
        """Decode latents into slots.

        Args:
          params: from ``VideoModel.init``.
          latents: of a ``Decomposition``, changed or not; [B, T, K, …].

        Returns:
          Images of all frames; the KL divergence is not known: NaN.
        """


class ModelConfig(Protocol):
    """The section ``model`` of a config: all that decides a model, except its image size."""

    @property
    def num_slots(self) -> int:
        """K in training."""

    def build(self, image_shape: tuple[int, int, int]) -> VideoModel:
        """The model for images of a shape [H, W, C].

        Raises:
          ValueError: a field does not fit; the message names it.
        """


def needs_objects(model: Any) -> bool:
    """Whether a model, or its section of a config, is a ``CuedModel`` that needs objects."""
    return isinstance(model, CuedModel) and model.cued


def with_objects(model: Any, video: Any, masks: Any) -> Any:
    """A batch of videos in the form that a model takes.

    Args:
      model: a ``VideoModel``.
      video: [B, T, H, W, C].
      masks: true masks [B, T, H, W]; None: there are none.

    Raises:
      ValueError: the model needs true masks.
    """
    if not needs_objects(model):
        return video
    if masks is None:
        raise ValueError(
            "the model starts from the true objects of the first frame (model.start), and there "
            "are none: use clips with true masks (in Python decompose(video, objects=…)), or train "
            "with start='sampled'"
        )
    return CuedVideo(video, masks[:, 0])


def first_masks(objects: Any, size: tuple[int, ...]) -> np.ndarray:
    """Check true objects of first frames, and give them the form of ``with_objects``.

    Args:
      objects: integers [H, W] or [B, H, W]; 0 is background.
      size: (B, H, W).

    Returns:
      uint8 [B, 1, H, W].

    Raises:
      ValueError: they have another shape or type.
    """
    masks = np.asarray(objects)
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.shape != size or masks.dtype.kind not in "iu":
        raise ValueError(
            f"objects: expected integers of shape {list(size)}, the first frame of each video in "
            f"the model's size, got {masks.dtype} {list(masks.shape)}"
        )
    return masks[:, None].astype(np.uint8)


@jax.jit
def row_keys(key: Array, rows: Array) -> Array:
    """One key per row of a global batch, independent of devices and processes."""
    return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)


def unit_range(video: Array) -> Array:
    """Convert bytes to numbers in [0, 1].

    Raises:
      ValueError: the video is not uint8.
    """
    if video.dtype != jnp.uint8:
        raise ValueError(f"videos must be uint8, 0 … 255, got {video.dtype}")
    return video.astype(jnp.float32) / 255.0
