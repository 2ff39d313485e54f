"""Decompositions of whole batches of clips over all devices."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from stiid import parallel
from stiid.config.experiment import Evaluate
from stiid.data.pipeline import eval_batches
from stiid.data.source import Source
from stiid.models.base import Decomposition, VideoModel, row_keys, with_objects
from stiid.progress import counted
from stiid.shapes import Array, Params

_ON_CPU = 4  # clips at a time on a CPU device; more take longer in proportion


class Clips(NamedTuple):
    """A batch of clips, as NumPy arrays."""

    video: np.ndarray  # uint8 [B, T, H, W, C]
    masks: np.ndarray | None  # uint8 [B, T, H, W]; None: the clips have no true masks
    rows: np.ndarray  # int32 [B] indices in the source, which seed the clips' noise

    @classmethod
    def from_batch(cls, batch: Mapping[str, np.ndarray]) -> "Clips":
        """Build clips from a batch of ``data.pipeline.eval_batches``."""
        rows = np.maximum(batch["index"], 0).astype(np.int32)
        masks = batch["masks"] if batch["labelled"].all() else None
        return cls(batch["video"], masks, rows)


def evaluation_clips(
    settings: Evaluate, source: Source, *, num_frames: int, what: str
) -> Iterator[tuple[Clips, np.ndarray]]:
    """The clips of an evaluation that this process scores, batch after batch, with progress shown.

    Args:
      settings: which clips, and how many at a time.
      source: of the clips.
      num_frames: frames T, from the first on.
      what: the operation, for the progress: "Evaluating".

    Yields:
      A batch, and bool [B], which of its rows are clips; the others are padding.
    """
    clips, batch_size = num_clips(settings, source), _batch_size(settings, source)
    batches = eval_batches(
        source,
        batch_size=batch_size,
        num_frames=num_frames,
        limit=settings.clips or None,
        shard_index=jax.process_index(),
        shard_count=jax.process_count(),
    )
    for batch in counted(
        batches,
        what,
        total=clips,
        unit=f"clips of {num_frames} frames",
        each=batch_size,
    ):
        yield Clips.from_batch(batch), batch["valid"]


def num_clips(settings: Evaluate, source: Source) -> int:
    """Number of clips of an evaluation, in all processes together."""
    return min(settings.clips or len(source), len(source))


def _batch_size(settings: Evaluate, source: Source) -> int:
    """Number of clips at a time: on CPUs few, so that progress shows, and nowhere mere padding."""
    devices = jax.device_count()
    clips = -(-num_clips(settings, source) // devices) * devices
    most = _ON_CPU * devices if jax.default_backend() == "cpu" else clips
    return min(settings.batch_size, clips, most)


class Rollout:
    """Infers given frames and simulates more; compiles once per shape.

    Args:
      settings: slots, noise and seed, on which a decomposition depends besides the parameters.
      system: the model with its test-time inference.
      num_simulated: frames to simulate after the given ones.
    """

    def __init__(self, settings: Evaluate, system: VideoModel, *, num_simulated: int) -> None:
        key = jax.random.key(settings.seed)
        decoding = settings.decoding

        def of_rows(params: Params, video: Array, rows: Array) -> Decomposition:
            keys = row_keys(key, rows)
            return system.decompose(params, video, keys, decoding, num_simulated=num_simulated)

        self._system = system
        self._decompose = parallel.data_parallel_rows(of_rows, batch_args=(1, 2), num_args=3)

    def __call__(
        self,
        params: Params,
        video: np.ndarray,
        rows: np.ndarray,
        masks: np.ndarray | None = None,
    ) -> Decomposition:
        """Decompose videos.

        Args:
          params: of the model.
          video: uint8 [B, T, H, W, C]; B must be a multiple of the number of local devices.
          rows: int32 [B], indices in the source.
          masks: true masks [B, T, H, W], which only a ``CuedModel`` sees, in the first frame.
        """
        inputs = parallel.shard((with_objects(self._system, video, masks), rows))
        return parallel.unshard(self._decompose(params, *inputs))
