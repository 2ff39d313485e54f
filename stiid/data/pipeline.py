"""Make batches from a source: endless random windows for training, ordered clips to evaluate.

Shapes: B clips of the global batch, P processes, b = B / P rows per process, T frames. Process p
holds the rows p, p + P, p + 2 P, ... of every global batch, so the processes together see exactly
the batches of a single process.
"""

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from stiid.data.source import UNKNOWN_OBJECTS, Source


def train_iterator(
    source: Source,
    *,
    batch_size: int,
    num_frames: int,
    seed: int,
    max_frames: int | None = None,
    pieces: bool = False,
    objects: bool = False,
    shard_index: int = 0,
    shard_count: int = 1,
    num_threads: int = 2,
    prefetch: int = 4,
) -> grain.DatasetIterator:
    """Iterate endlessly over batches of random windows, reshuffled every epoch.

    A batch depends only on the source, its number, B, num_frames, max_frames and the seed, not on
    sharding, threads or prefetching. Epochs follow each other without a gap, so a batch may contain
    clips of two epochs.

    Args:
      source: source with at least one clip.
      batch_size: B, the rows of all processes together.
      num_frames: T, the length of a window, whose start is uniformly distributed.
      seed: seed of the order and of the window starts; not negative.
      max_frames: windows stay inside the first `max_frames` frames; None means all frames. The
        paper trains on the first 40 of the 50 frames of Bouncing Balls.
      pieces: windows start at multiples of T only, so that they do not overlap.
      objects: whether to give the true objects of the first frame of each window, too.
      shard_index: p.
      shard_count: P, a divisor of B.
      num_threads: reading threads; 0 reads in the calling thread.
      prefetch: batches held in memory ahead of use; at least `num_threads`.

    Returns:
      Iterator over {"video": uint8 [b, T, H, W, C]}, with `objects` also "objects": uint8
      [b, H, W], with `get_state` and `set_state`, which resume it exactly; `grain.checkpoint`
      stores that state in an Orbax checkpoint.

    Raises:
      ValueError: if the arguments contradict each other or the source.
    """
    rows = _rows_per_process(source, batch_size, shard_index, shard_count)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if num_threads < 0 or prefetch < num_threads:
        raise ValueError(
            f"num_threads must not be negative and prefetch not smaller, "
            f"got num_threads={num_threads} and prefetch={prefetch}"
        )
    window = _RandomWindow(num_frames, max_frames, pieces, objects)
    window.check(source[0])
    return iter(
        grain.MapDataset.source(source)
        .seed(seed)
        .shuffle()
        .repeat()
        .random_map(window)
        .slice(slice(shard_index, None, shard_count))
        .batch(rows, drop_remainder=True)
        .to_iter_dataset(
            grain.ReadOptions(
                num_threads=num_threads, prefetch_buffer_size=prefetch if num_threads else 0
            )
        )
    )


class _RandomWindow(grain.transforms.RandomMap):
    """Keep a window of `num_frames` within the first `max_frames` of the video.

    With `objects`, it also keeps the masks of the window's first frame.
    """

    def __init__(self, num_frames: int, max_frames: int | None, pieces: bool, objects: bool):
        self._num_frames = num_frames
        self._max_frames = max_frames
        self._pieces = pieces
        self._objects = objects

    def check(self, clip: dict[str, Any]) -> int:
        """Return the number of usable frames; raise ValueError if they are too few."""
        if self._objects and clip["n_objects"] == UNKNOWN_OBJECTS:
            raise ValueError(
                f"the model starts from true objects (model.start), and clip {clip['id']!r} has no "
                "true masks: use data with masks, or start='sampled'"
            )
        frames = len(clip["video"])
        usable = frames if self._max_frames is None else self._max_frames
        if usable > frames:
            raise ValueError(
                f"max_frames = {self._max_frames} exceeds the {frames} frames of clip "
                f"{clip['id']!r}: make data.max_frames smaller (0: all frames), or the clips longer"
            )
        if not 1 <= self._num_frames <= usable:
            raise ValueError(
                f"num_frames = {self._num_frames} does not fit the {usable} frames of clip "
                f"{clip['id']!r} that training may use: change num_frames, or data.max_frames"
            )
        return usable

    def random_map(
        self, element: dict[str, Any], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        usable = self.check(element)
        if self._pieces:
            start = self._num_frames * rng.integers(usable // self._num_frames)
        else:
            start = rng.integers(usable - self._num_frames + 1)
        window = {"video": element["video"][start : start + self._num_frames]}
        return {**window, "objects": element["masks"][start]} if self._objects else window


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    num_frames: int,
    limit: int | None = None,
    shard_index: int = 0,
    shard_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over the first `num_frames` frames of all clips, in order, in batches of one shape.

    Every process gets the same number of batches. Missing rows at the end repeat the last clip and
    are marked.

    Args:
      source: source with at least one clip.
      batch_size: B, the rows of all processes together.
      num_frames: T.
      limit: use the first `limit` clips only.
      shard_index: p.
      shard_count: P, a divisor of B.

    Returns:
      Iterator over
        video: uint8 [b, T, H, W, C].
        masks: uint8 [b, T, H, W].
        labelled: bool [b], False if the clip has no true masks; then `masks` is all 0.
        valid: bool [b], False for a repeated row.
        index: int64 [b], place of the clip in the source, -1 for a repeated row.

    Raises:
      ValueError: if the arguments contradict each other or the source.
    """
    rows = _rows_per_process(source, batch_size, shard_index, shard_count)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be None or at least 1, got {limit}")
    count = len(source) if limit is None else min(limit, len(source))
    frames = len(source[0]["video"])
    if not 1 <= num_frames <= frames:
        raise ValueError(f"num_frames must lie in 1..{frames}, got {num_frames}")
    places = (
        first + shard_index + shard_count * np.arange(rows) for first in range(0, count, batch_size)
    )
    return (_eval_batch(source, place, count, num_frames) for place in places)


def _eval_batch(
    source: Source, places: np.ndarray, count: int, num_frames: int
) -> dict[str, np.ndarray]:
    valid = places < count
    read = {int(i): source[int(i)] for i in np.minimum(places, count - 1)}
    clips = [read[int(i)] for i in np.minimum(places, count - 1)]
    return {
        "video": np.stack([clip["video"][:num_frames] for clip in clips]),
        "masks": np.stack([clip["masks"][:num_frames] for clip in clips]),
        "labelled": np.array([clip["n_objects"] != UNKNOWN_OBJECTS for clip in clips]),
        "valid": valid,
        "index": np.where(valid, places, -1),
    }


def _rows_per_process(source: Source, batch_size: int, shard_index: int, shard_count: int) -> int:
    """Check the arguments that both iterators share, and return b."""
    if not len(source):
        raise ValueError("the source has no clips")
    if batch_size < 1 or shard_count < 1 or batch_size % shard_count:
        raise ValueError(
            f"batch_size must be a positive multiple of shard_count (the number of processes), "
            f"got batch_size={batch_size} and shard_count={shard_count}"
        )
    if not 0 <= shard_index < shard_count:
        raise ValueError(
            f"shard_index must lie in 0..shard_count - 1, got shard_index={shard_index} and "
            f"shard_count={shard_count}"
        )
    return batch_size // shard_count
