"""Roll-outs and pictures: infer n frames, simulate m, show every slot, score what was predicted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stiid import parallel
from stiid.animation import write_gif, write_mp4, write_png
from stiid.data.pipeline import eval_batches
from stiid.data.source import Source
from stiid.evaluate import NUM_IDS
from stiid.experiment import Evaluate
from stiid.metrics import clip_scores, contingency
from stiid.shapes import Array, Params
from stiid.system import Decomposition, System, row_keys
from stiid.viz import decomposition_frames, decomposition_sheet

_COLUMNS = 10  # frames that a still picture shows
_FPS = 6


class Clips(NamedTuple):
    """The first clips of a source, as NumPy arrays."""

    video: np.ndarray  # uint8 [N, T, H, W, C]
    masks: np.ndarray  # uint8 [N, T, H, W]
    rows: np.ndarray  # int32 [N] places in the source


class Roller:
    """Decomposes the first clips of a source; compiles once.

    Args:
      settings: slots, noise and seed, as in evaluation, so that a clip looks as it was scored.
      system: the model with its test-time inference.
      source: clips with masks.
      clips: how many; rounded up to a multiple of the local devices while computing.
      num_observed: frames to infer.
      num_simulated: frames to simulate after them.
    """

    def __init__(
        self,
        settings: Evaluate,
        system: System,
        source: Source,
        *,
        clips: int,
        num_observed: int,
        num_simulated: int,
    ) -> None:
        frames = len(source[0]["video"])
        if num_observed < 1 or num_observed + num_simulated > frames:
            raise ValueError(
                f"predict: {num_observed} observed and {num_simulated} simulated frames do not "
                f"fit clips of {frames} frames: lower predict.num_observed or num_simulated"
            )
        self._count, self._num_observed = clips, num_observed
        devices = jax.local_device_count()
        batch = next(
            eval_batches(
                source,
                batch_size=-(-clips // devices) * devices,
                num_frames=num_observed + num_simulated,
                limit=clips,
            )
        )
        rows = np.maximum(batch["index"], 0).astype(np.int32)
        self._clips = Clips(batch["video"], batch["masks"], rows)
        key = jax.random.key(settings.seed)

        def decompose(params: Params, video: Array, rows: Array) -> Decomposition:
            return system.decompose(
                params,
                video,
                row_keys(key, rows),
                num_slots=settings.num_slots,
                num_simulated=num_simulated,
                noise=settings.noise,
            )

        self._decompose = parallel.data_parallel_rows(decompose, batch_args=(1, 2), num_args=3)

    def __call__(self, params: Params) -> tuple[Clips, Decomposition]:
        """The clips and their decompositions, simulated frames included."""
        seen = self._clips.video[:, : self._num_observed]
        inputs = parallel.shard((seen, self._clips.rows))
        result = parallel.unshard(self._decompose(params, *inputs))
        clips, result = jax.tree.map(lambda x: x[: self._count], (self._clips, result))
        return clips, result


def write_pictures(
    directory: Path,
    clips: Clips,
    result: Decomposition,
    *,
    num_observed: int,
    stem: str = "clip",
    animate: bool = True,
) -> list[Path]:
    """A still sheet of each clip, and GIF and MP4 animations of all its frames."""
    written = []
    frames = clips.video.shape[1]
    columns = np.unique(np.linspace(0, frames - 1, min(frames, _COLUMNS)).round().astype(int))
    for i in range(len(clips.video)):
        arrays = (
            clips.video[i],
            np.asarray(result.reconstruction[i]),
            np.asarray(result.masks[i]),
            np.asarray(result.means[i]),
            clips.masks[i],
        )
        simulated_from = num_observed if num_observed < frames else None
        path = directory / f"{stem}_{i:02d}.png"
        write_png(
            path,
            decomposition_sheet(*arrays, frames=columns.tolist(), simulated_from=simulated_from),
        )
        written.append(path)
        if animate:
            animation = decomposition_frames(*arrays, simulated_from=simulated_from)
            write_gif(path.with_suffix(".gif"), animation, fps=_FPS)
            write_mp4(path.with_suffix(".mp4"), animation, fps=_FPS)
            written += [path.with_suffix(".gif"), path.with_suffix(".mp4")]
    return written


def prediction_scores(
    clips: Clips, result: Decomposition, *, num_observed: int
) -> Mapping[str, Any]:
    """Scores of the observed and of the simulated frames, and of the simulated ones one by one.

    ``copy_mse`` is what repeating the last observed frame would score.
    """
    slots = jnp.argmax(result.masks, axis=2)
    table = np.asarray(
        contingency(clips.masks, slots, num_ids=NUM_IDS, num_slots=result.masks.shape[2])
    )
    truth = clips.video.astype(np.float64) / 255.0
    error = ((np.asarray(result.reconstruction) - truth) ** 2).mean(axis=(2, 3, 4))
    copied = truth[:, num_observed - 1 : num_observed]
    copy_error = ((copied - truth) ** 2).mean(axis=(2, 3, 4))
    means = {"observed": _mean_scores(table[:, :num_observed], error[:, :num_observed])}
    if table.shape[1] > num_observed:
        means["simulated"] = _mean_scores(table[:, num_observed:], error[:, num_observed:])
    steps = [
        {
            **_mean_scores(table[:, t : t + 1], error[:, t : t + 1]),
            "copy_mse": float(copy_error[:, t].mean()),
        }
        for t in range(num_observed, table.shape[1])
    ]
    return {**means, "simulated_frames": steps, "clips": len(table)}


def _mean_scores(table: np.ndarray, error: np.ndarray) -> dict[str, float]:
    scores = clip_scores(table, error, length=table.shape[1])
    return {name: float(values.mean()) for name, values in scores.items()}
