"""The loss on held-out clips, for stopping early."""

from collections.abc import Callable

import jax
import numpy as np

from stiid import parallel
from stiid.config.experiment import Evaluate
from stiid.data.source import Source
from stiid.evaluation.rollout import evaluation_clips
from stiid.models.base import VideoModel, row_keys, with_objects
from stiid.shapes import Array, Params


def validation_loss(
    settings: Evaluate, system: VideoModel, source: Source, *, num_frames: int
) -> Callable[[Params], float]:
    """Build a function of the parameters: the mean training loss over held-out clips.

    Args:
      settings: which clips, how many at a time, and the seed of the noise.
      system: the model as it is trained.
      source: clips; their first frames are used.
      num_frames: frames T of a training clip.
    """
    key = jax.random.key(settings.seed)

    def losses(params: Params, video: Array, rows: Array) -> Array:
        return system.loss(params, video, row_keys(key, rows)).total

    compiled = parallel.data_parallel_rows(losses, batch_args=(1, 2), num_args=3)

    def mean_loss(params: Params) -> float:
        total = np.zeros(2)  # sum, count
        what = "Computing the loss on held-out clips"
        for clips, valid in evaluation_clips(settings, source, num_frames=num_frames, what=what):
            given = parallel.shard((with_objects(system, clips.video, clips.masks), clips.rows))
            values = parallel.unshard(compiled(params, *given))
            counted = values[valid].astype(np.float64)
            total += (counted.sum(), len(counted))
        loss, count = parallel.over_processes(total).sum(0)
        return float(loss / count)

    return mean_loss
