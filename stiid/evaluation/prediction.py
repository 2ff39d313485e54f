"""Prediction: infer n frames, simulate m (section 3.2.3); images of the result, and its scores."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stiid.config.experiment import Evaluate, Predict
from stiid.data.pipeline import eval_batches
from stiid.data.source import Source
from stiid.data.spacing import spaced
from stiid.evaluation.evaluator import tables
from stiid.evaluation.image_quality import image_scores
from stiid.evaluation.metrics import clip_scores
from stiid.evaluation.rollout import Clips, Rollout
from stiid.evaluation.totals import ScoreTotals
from stiid.evaluation.velocity import MATCHINGS, box_centers, velocity_scores
from stiid.media import write_gif, write_mp4, write_png
from stiid.models.base import Decomposition, VideoModel
from stiid.outputs.sheets import decomposition_frames, decomposition_sheet
from stiid.progress import counted, waiting
from stiid.shapes import Params

_COLUMNS = 10  # frames that a sheet shows
_FPS = 6


def predict_clips(
    settings: Predict, evaluate: Evaluate, system: VideoModel, source: Source, params: Params
) -> tuple[Clips, Decomposition]:
    """The first clips of a source and their decompositions, simulated frames included.

    Args:
      settings: how many clips and frames.
      evaluate: slots, noise and seed, so that a clip is decomposed as in the evaluation.
      system: the model with its test-time inference.
      source: clips with masks.
      params: of the model.
    """
    total = total_frames(settings, source)
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
    with waiting(f"Compiling, then predicting {settings.clips} clips"):
        seen = clips.video[:, : settings.num_observed]
        result = rollout(params, seen, clips.rows, clips.masks)
    return jax.tree.map(lambda x: x[batch["valid"]], (clips, result))


def total_frames(settings: Predict, source: Source) -> int:
    """Observed and simulated frames together.

    Raises:
      ValueError: the clips are shorter.
    """
    total, frames = settings.num_observed + settings.num_simulated, len(source[0]["video"])
    if total > frames:
        raise ValueError(
            f"predict: {settings.num_observed} observed and {settings.num_simulated} simulated "
            f"frames do not fit clips of {frames} frames: lower predict.num_observed or "
            "predict.num_simulated"
        )
    return total


def sheets(clips: Clips, result: Decomposition, *, num_observed: int) -> Iterator[np.ndarray]:
    """A sheet of each clip, uint8 [H, W, 3], which shows some of its frames side by side."""
    frames = clips.video.shape[1]
    columns = spaced(frames, _COLUMNS)
    simulated_from = num_observed if num_observed < frames else None
    for i in range(len(clips.video)):
        yield decomposition_sheet(
            *clip_parts(clips, result, i), frames=columns, simulated_from=simulated_from
        )


def write_images(
    directory: Path, clips: Clips, result: Decomposition, *, num_observed: int
) -> list[Path]:
    """Write a sheet of each clip, and GIF and MP4 animations of all its frames."""
    written = []
    simulated_from = num_observed if num_observed < clips.video.shape[1] else None
    made = counted(
        sheets(clips, result, num_observed=num_observed),
        "Drawing",
        total=len(clips.video),
        unit="clips",
    )
    for i, sheet in enumerate(made):
        path = directory / f"clip_{i:02d}.png"
        write_png(path, sheet)
        animation = decomposition_frames(
            *clip_parts(clips, result, i), simulated_from=simulated_from
        )
        write_gif(path.with_suffix(".gif"), animation, fps=_FPS)
        write_mp4(path.with_suffix(".mp4"), animation, fps=_FPS)
        written += [path, path.with_suffix(".gif"), path.with_suffix(".mp4")]
    return written


def clip_parts(clips: Clips, result: Decomposition, i: int) -> tuple[Any, ...]:
    """Arrays of a clip that `outputs.sheets` shows: input, reconstruction, masks, means, truth."""
    inferred = (np.asarray(x[i]) for x in (result.reconstruction, result.masks, result.means))
    return clips.video[i], *inferred, None if clips.masks is None else clips.masks[i]


def prediction_scores(
    clips: Clips, result: Decomposition, *, num_observed: int
) -> Mapping[str, Any]:
    """Scores of the observed frames, of the simulated frames, and of each simulated frame.

    ``bce`` is the binary cross entropy of the reconstruction, clipped to [1e-4, 1 − 1e-4] as in
    DDPAE. Like ``mse``, it is a mean over pixels and channels; ``bce_sum`` and ``mse_sum`` are sums
    over them. ``psnr`` and ``ssim`` (of images that are large enough) are means over clips.
    ``copy_mse`` is the MSE of repeating the last observed frame. ``velocity`` compares
    motion, see ``velocity.velocity_scores``: of the positions that the model gives, if it gives
    any, else of the centers of the slots' bounding boxes.
    """
    table, error = tables(clips, result)
    frames = error.shape[1]
    truth = clips.video.astype(np.float64) / 255.0
    copied = truth[:, num_observed - 1 : num_observed]
    copy_error = ((copied - truth) ** 2).mean(axis=(2, 3, 4))
    entropy = _cross_entropy(np.asarray(result.reconstruction, np.float64), truth)
    similarity = image_scores(result.reconstruction, truth)
    pixels = truth[0, 0].size
    content: dict[str, Any] = {
        "clips": len(error),
        "observed": mean_scores(table, error, slice(num_observed)),
    }
    if clips.masks is not None:
        content["clips_with_objects"] = int(np.any(clips.masks, axis=(1, 2, 3)).sum())
    if frames > num_observed:
        content["simulated"] = mean_scores(table, error, slice(num_observed, None))
        content["simulated_frames"] = [
            {
                **mean_scores(table, error, slice(t, t + 1)),
                "mse_sum": float(error[:, t].mean()) * pixels,
                "bce": float(entropy[:, t].mean()),
                "bce_sum": float(entropy[:, t].mean()) * pixels,
                "copy_mse": float(copy_error[:, t].mean()),
                **{name: float(values[:, t].mean()) for name, values in similarity.items()},
            }
            for t in range(num_observed, frames)
        ]
        if num_observed > 1 and clips.masks is not None:
            content["velocity"] = _velocity(clips.masks, result, num_observed)
    return content


def _cross_entropy(reconstruction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean over pixels and channels, [B, T]; nats."""
    p = np.clip(reconstruction, 1e-4, 1.0 - 1e-4)
    return -(truth * np.log(p) + (1.0 - truth) * np.log(1.0 - p)).mean(axis=(2, 3, 4))


def _velocity(true: np.ndarray, result: Decomposition, num_observed: int) -> Mapping[str, Any]:
    truth = box_centers(true, count=int(true.max()) + 1)[:, :, 1:]
    if result.positions is None:
        masks = np.asarray(result.masks)
        positions = box_centers(masks.argmax(2), count=masks.shape[2])
    else:
        positions = np.asarray(result.positions, np.float64)
    return {
        matching: velocity_scores(
            positions, truth, num_observed=num_observed, matching=matching
        )._asdict()
        for matching in MATCHINGS
    }


def mean_scores(table: np.ndarray | None, error: np.ndarray, part: slice) -> dict[str, float]:
    """Mean scores of some frames; scores of objects are means over the clips that show objects.

    Args:
      table: [B, T, N, K] of ``evaluator.tables``, or None.
      error: [B, T] of ``evaluator.tables``.
      part: the frames.
    """
    error = error[:, part]
    table = None if table is None else table[:, part]
    scores = clip_scores(table, error, length=error.shape[1])
    return ScoreTotals.from_clips(scores, np.ones(len(error), np.bool_)).mean()
