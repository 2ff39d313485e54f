"""Prediction: infer n frames, simulate m (section 3.2.3); pictures of that, and its scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stiid.animation import write_gif, write_mp4, write_png
from stiid.data.pipeline import eval_batches
from stiid.data.source import Source
from stiid.evaluate import tables
from stiid.experiment import Evaluate, Predict
from stiid.metrics import clip_scores
from stiid.rollout import Clips, Rollout
from stiid.shapes import Params
from stiid.system import Decomposition, System
from stiid.viz import decomposition_frames, decomposition_sheet

_COLUMNS = 10  # frames that a still picture shows
_FPS = 6


def predict_clips(
    settings: Predict, evaluate: Evaluate, system: System, source: Source, params: Params
) -> tuple[Clips, Decomposition]:
    """The first clips of a source and their decompositions, simulated frames included.

    Args:
      settings: how many clips and frames.
      evaluate: slots, noise and seed, so that a clip looks as it was scored.
      system: the model with its test-time inference.
      source: clips with masks.
      params: of the model.
    """
    frames = len(source[0]["video"])
    observed, total = settings.num_observed, settings.num_observed + settings.num_simulated
    if observed < 1 or total > frames:
        raise ValueError(
            f"predict: {observed} observed and {settings.num_simulated} simulated frames do not "
            f"fit clips of {frames} frames: change predict.num_observed or num_simulated"
        )
    devices = jax.local_device_count()
    batch = next(
        eval_batches(
            source,
            batch_size=-(-settings.clips // devices) * devices,
            num_frames=total,
            limit=settings.clips,
        )
    )
    clips = Clips.from_batch(batch)
    rollout = Rollout(evaluate, system, num_simulated=settings.num_simulated)
    result = rollout(params, clips.video[:, :observed], clips.rows)
    return jax.tree.map(lambda x: x[: settings.clips], (clips, result))


def write_pictures(
    directory: Path,
    clips: Clips,
    result: Decomposition,
    *,
    num_observed: int,
    stem: str,
    animate: bool,
) -> list[Path]:
    """A still sheet of each clip and, if wanted, GIF and MP4 animations of all its frames."""
    written = []
    frames = clips.video.shape[1]
    columns = np.unique(np.linspace(0, frames - 1, min(frames, _COLUMNS)).round().astype(int))
    simulated_from = num_observed if num_observed < frames else None
    for i in range(len(clips.video)):
        picture = (
            clips.video[i],
            *(np.asarray(x[i]) for x in (result.reconstruction, result.masks, result.means)),
            clips.masks[i],
        )
        path = directory / f"{stem}_{i:02d}.png"
        sheet = decomposition_sheet(
            *picture, frames=columns.tolist(), simulated_from=simulated_from
        )
        write_png(path, sheet)
        written.append(path)
        if animate:
            animation = decomposition_frames(*picture, simulated_from=simulated_from)
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
    table, error = tables(clips, result)
    truth = clips.video.astype(np.float64) / 255.0
    copied = truth[:, num_observed - 1 : num_observed]
    copy_error = ((copied - truth) ** 2).mean(axis=(2, 3, 4))
    content: dict[str, Any] = {
        "clips": len(table),
        "observed": _mean_scores(table[:, :num_observed], error[:, :num_observed]),
    }
    if table.shape[1] > num_observed:
        content["simulated"] = _mean_scores(table[:, num_observed:], error[:, num_observed:])
        content["simulated_frames"] = [
            {
                **_mean_scores(table[:, t : t + 1], error[:, t : t + 1]),
                "copy_mse": float(copy_error[:, t].mean()),
            }
            for t in range(num_observed, table.shape[1])
        ]
    return content


def _mean_scores(table: np.ndarray, error: np.ndarray) -> dict[str, float]:
    scores = clip_scores(table, error, length=table.shape[1])
    return {name: float(values.mean()) for name, values in scores.items()}
