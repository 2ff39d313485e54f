"""A trained model, ready to decompose and predict videos."""

import functools
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.data.pipeline import eval_batches
from stiid.data.video.frames import Footage, VideoInfo, footage, videos
from stiid.data.view import View
from stiid.evaluation.rollout import Clips
from stiid.models.base import (
    Decoding,
    Decomposition,
    LatentModel,
    Latents,
    StreamingModel,
    VideoModel,
    first_masks,
    row_keys,
    with_objects,
)
from stiid.outputs.decomposition import SlotFrame
from stiid.outputs.result import Result
from stiid.progress import waiting
from stiid.shapes import Array, Params
from stiid.training.restore import chosen, errors_only, load_clips, restored
from stiid.typed_config import to_dict

Video = str | os.PathLike[str] | np.ndarray | Iterable[Any]
_Seen = tuple[np.ndarray, VideoInfo]


class Model:
    """A trained model with its test-time inference, as ``stiid.load`` returns it.

    Slots, restarts and noise are those of the stored config unless a keyword changes them:
    ``num_slots`` (K), ``restarts`` (number of noise samples of the first frame; the one with the
    lowest negative ELBO is kept), ``restart_frames`` (number of frames over which that is summed),
    ``noise`` ("first" or "all"), ``seed``. See ``config.experiment.Evaluate``.

    Functions are compiled once for each shape of the video and each number of slots and frames.

    Attributes:
      experiment: the stored config.
      step: of the checkpoint.
      params: parameters.
      network: functions of the parameters, see ``models.base.VideoModel``.
      card: what results are stored with: step, checkpoint, config.
    """

    def __init__(
        self, experiment: Experiment, params: Params, network: VideoModel, *, step: int, where: Path
    ) -> None:
        self.experiment, self.params, self.network, self.step = experiment, params, network, step
        self.card = {"step": step, "checkpoint": str(where), "config": to_dict(experiment)}
        self._view: View = registry.view(experiment.data.name, **experiment.data.options)
        self._decompose = jax.jit(network.decompose, static_argnames=("decoding", "num_simulated"))

    @classmethod
    def restore(cls, experiment: Experiment | None, workdir: Path, checkpoint: str) -> "Model":
        """Restore a checkpoint as a model; see ``training.restore.restore_model``."""
        opened = chosen(experiment, workdir, checkpoint)
        # Orbax warns about consequences of read-only access.
        with errors_only("absl"), opened as (experiment, checkpoints, step):
            state, network = restored(checkpoints, step, experiment)
            where = checkpoints.directory
        return cls(
            experiment, jax.device_put(state.params), network, step=int(state.step), where=where
        )

    @property
    def num_slots(self) -> int:
        """Number of slots K, unless a keyword changes it."""
        return self.experiment.evaluate.num_slots

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the model's frames; videos are resized to it."""
        return self._view.height, self._view.width, self._view.channels

    def decompose(
        self,
        video: Video,
        *,
        crop: tuple[int, ...] | None = None,
        stride: int | None = None,
        aspect: str | None = None,
        objects: np.ndarray | None = None,
        **settings: Any,
    ) -> Result:
        """Decompose a video, or a batch of videos, into slots.

        Args:
          video: uint8 or floats in [0, 1], [T, H, W, C] or [B, T, H, W, C]; a list of frames
            [H, W, C]; or the path of a video file or of a folder of images. Frames of another size
            or with another number of channels are resized and converted.
          crop: (left, top, width, height) of a window in pixels of the input; () for all. None:
            files as in training, arrays whole.
          stride: every n-th frame. None: files as in training, of arrays every frame.
          aspect: what is done with another aspect ratio than the model's: "crop" shows the middle,
            "letterbox" all of it between black bars, "stretch" all of it, distorted. None: as in
            training; models of generated videos add bars.
          objects: true objects of the first frame, for models that start from them (SAVi with
            ``start="boxes"``): integers [H, W] or [B, H, W] of the model's size; 0 is background.
          **settings: see the class.

        Raises:
          ValueError, OSError: the video cannot be read, or does not fit; the message has advice.
        """
        seen = videos(video, self._view, crop=crop, stride=stride, aspect=aspect)
        return self._run(seen, 0, settings, objects)

    def predict(
        self,
        video: Video,
        *,
        num_frames: int = 10,
        crop: tuple[int, ...] | None = None,
        stride: int | None = None,
        aspect: str | None = None,
        objects: np.ndarray | None = None,
        **settings: Any,
    ) -> Result:
        """Decompose a video, and simulate the frames that follow it.

        Args:
          video: see ``decompose``; all of it is observed.
          num_frames: how many frames to simulate.
          crop: see ``decompose``.
          stride: see ``decompose``.
          aspect: see ``decompose``.
          objects: see ``decompose``.
          **settings: see the class.

        Returns:
          All frames; ``Result.simulated`` are those after the video.

        Raises:
          ValueError, OSError: as ``decompose``; or the model cannot simulate (IODINE).
        """
        if num_frames < 1:
            raise ValueError(f"num_frames must be at least 1, got {num_frames}")
        seen = videos(video, self._view, crop=crop, stride=stride, aspect=aspect)
        return self._run(seen, num_frames, settings, objects)

    def open(
        self,
        video: Video,
        *,
        crop: tuple[int, ...] | None = None,
        stride: int | None = None,
        aspect: str | None = None,
    ) -> Footage:
        """Open a video as frames for this model; see ``stream``."""
        return footage(video, self._view, crop=crop, stride=stride, aspect=aspect)

    def stream(
        self,
        frames: Video | Footage,
        *,
        crop: tuple[int, ...] | None = None,
        stride: int | None = None,
        aspect: str | None = None,
        **settings: Any,
    ) -> Iterator[SlotFrame]:
        """Decompose a video of any length frame by frame, in the memory of one frame.

        Args:
          frames: anything that yields frames [H, W, C], such as a camera; the path of a video file
            or of a folder of images; or what ``open`` returns.
          crop: see ``decompose``.
          stride: see ``decompose``.
          aspect: see ``decompose``.
          **settings: see the class.

        Returns:
          An iterator over the decomposed frames; their numbers are those of ``decompose``.

        Raises:
          ValueError, OSError: as ``decompose``; or the model does not work frame by frame
            (R-NEM, DDPAE).
        """
        decoding, key = self._decoding(settings)
        if not isinstance(frames, Footage):
            frames = self.open(frames, crop=crop, stride=stride, aspect=aspect)
        if not isinstance(self.network, StreamingModel):
            raise ValueError(
                f"{self} does not decompose frame by frame: use Model.decompose, or another model"
            )
        key = row_keys(key, np.zeros(1, np.int32))[0]
        shown, inputs = itertools.tee(frames.frames)
        spacing = frames.info.view.stride
        results = self.network.stream(self.params, inputs, key, decoding)
        return (
            SlotFrame(t * spacing, frame, *_single(part))
            for t, (frame, part) in enumerate(zip(shown, results, strict=True))
        )

    def decode(self, z: Any, h: Any = None) -> Decomposition:
        """Decode slots from given latents: the generative half of the model.

        Args:
          z: [..., K, D], as ``Result.latents.z``, changed or not.
          h: [..., K, M], as ``Result.latents.h``; None: zeros, as in the first frame.

        Returns:
          ``reconstruction`` [..., H, W, C], ``masks`` [..., K, H, W], ``means`` [..., K, H, W, C].

        Raises:
          ValueError: the model has no latents (R-NEM, DDPAE), or shapes do not fit.
        """
        if not isinstance(self.network, LatentModel):
            raise ValueError(f"{self} does not decode slots from latents: use another model")
        sizes = self.network.latent_sizes
        z = jnp.asarray(z, jnp.float32)
        if z.ndim < 2 or z.shape[-1] != sizes[0]:
            raise ValueError(f"z must have the shape [..., K, {sizes[0]}], got {list(z.shape)}")
        h = jnp.zeros((*z.shape[:-1], sizes[1])) if h is None else jnp.asarray(h, jnp.float32)
        if h.shape != (*z.shape[:-1], sizes[1]):
            raise ValueError(
                f"h must have the shape {[*z.shape[:-1], sizes[1]]}, got {list(h.shape)}"
            )
        count = math.prod(z.shape[:-2])
        flat = Latents(*(x.reshape(1, count, *x.shape[-2:]) for x in (z, h)))
        decoded = jax.device_get(_decode(self.network, self.params, flat))
        return jax.tree.map(lambda x: x[0].reshape(*z.shape[:-2], *x.shape[2:]), decoded)

    def clips(
        self, count: int, *, num_frames: int | None = None, split: str | None = None
    ) -> Clips:
        """Clips of the data set that the model was trained on, with true masks if they exist.

        Args:
          count: how many, from the first on.
          num_frames: length of each; None: the longest that the stored config evaluates.
          split: "train", "validation" or "test"; None: the one that the stored config evaluates.

        Returns:
          ``video`` uint8 [B, T, H, W, C] and ``masks`` uint8 [B, T, H, W], or None.

        Raises:
          ValueError, OSError: there are no such clips.
        """
        source = load_clips(self.experiment, split)
        if not 1 <= count <= len(source):
            raise ValueError(f"count must lie in 1 … {len(source)}, got {count}")
        frames = max(self.experiment.evaluate.lengths) if num_frames is None else num_frames
        batch = next(eval_batches(source, batch_size=count, num_frames=frames, limit=count))
        return Clips.from_batch(batch)

    def __repr__(self) -> str:
        size, family = "×".join(map(str, self.image_shape)), self.experiment.model.family
        return f"Model({family!r}, {self.num_slots} slots, {size}, step {self.step})"

    def _decoding(self, changes: dict[str, Any]) -> tuple[Decoding, Array]:
        """Settings of inference after changes, and the key of all noise."""
        seed = changes.pop("seed", None)
        given = {name: value for name, value in changes.items() if value is not None}
        decoding, known = self.experiment.evaluate.decoding, [f.name for f in fields(Decoding)]
        unknown = sorted(given.keys() - known)
        if unknown:
            raise TypeError(f"no keyword {unknown[0]!r}: expected {', '.join([*known, 'seed'])}")
        key = jax.random.key(self.experiment.evaluate.seed if seed is None else seed)
        return replace(decoding, **given), key

    def _run(
        self, seen: _Seen, num_simulated: int, changes: dict[str, Any], objects: np.ndarray | None
    ) -> Result:
        (frames, info), (decoding, key) = seen, self._decoding(changes)
        batch = frames if frames.ndim == 5 else frames[None]
        keys = row_keys(key, np.arange(len(batch), dtype=np.int32))
        size = (len(batch), *self.image_shape[:2])
        masks = None if objects is None else first_masks(objects, size)
        given = with_objects(self.network, batch, masks)
        with waiting(f"Compiling, then computing {batch.shape[1] + num_simulated} frames"):
            found = jax.device_get(
                self._decompose(self.params, given, keys, decoding, num_simulated=num_simulated)
            )
        return Result.of(frames, found, info, self.card)


@functools.partial(jax.jit, static_argnums=0)
def _decode(network: LatentModel, params: Params, latents: Latents) -> Decomposition:
    return network.decode(params, latents)._replace(latents=None)


def _single(part: Decomposition) -> tuple[Any, ...]:
    """Reconstruction, masks and means of a batch of one frame."""
    return part.reconstruction[0, 0], part.masks[0, 0], part.means[0, 0]
