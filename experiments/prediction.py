"""Score simulated frames: masks, images and velocities, also before and after first collisions.

    python -m experiments.prediction --config=configs/NAME.py --checkpoint=RUN --workdir=DIR \
        --config.predict.num_observed=20 --config.predict.num_simulated=10

Runs over all clips of the evaluation, and writes ``DIR/prediction.json``, for the model and for two
predictions without a model of the dynamics, which start from what the model inferred.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.contacts import group_scores, groups, knows_contacts
from experiments.result import MODEL, SIMULATE
from experiments.trivial_prediction import Predicted, move_on, repeat_last
from experiments.worker import run_worker
from stiid.config.experiment import Experiment
from stiid.data.source import Source
from stiid.evaluation.evaluator import tables
from stiid.evaluation.image_quality import image_scores
from stiid.evaluation.prediction import mean_scores, total_frames
from stiid.evaluation.rollout import Clips, Rollout, evaluation_clips
from stiid.evaluation.velocity import MATCHINGS, SHIFT, box_centers, velocity_scores
from stiid.models.base import Decomposition, VideoModel
from stiid.shapes import Params

PARTS = (MODEL, "last frame", "linear motion")


def measure(
    experiment: Experiment, system: VideoModel, source: Source, params: Params, workdir: Path
) -> dict[str, Any]:
    """Compute the content of ``prediction.json``.

    For each of ``PARTS`` it has the scores of the observed frames, of each simulated one
    (``frames``), of the first n of them together (``horizons``), velocities, and, of balls that the
    simulator gave velocities, ``contacts.group_scores``.
    """
    seen, count = experiment.predict.num_observed, experiment.predict.num_simulated
    total = total_frames(experiment.predict, source)
    if seen <= SHIFT:
        raise ValueError(
            f"predict.num_observed must be at least {SHIFT + 1} for velocities, got {seen}"
        )
    if source[0]["n_objects"] < 0:
        raise ValueError("the scores of predictions need clips with true masks")
    rollout = Rollout(experiment.evaluate, system, num_simulated=count)
    found: dict[str, list[_Scored]] = {part: [] for part in PARTS}
    truths, members = [], []
    contacts = knows_contacts(source)
    shown = {"num_frames": total, "what": "Predicting"}
    for clips, valid in evaluation_clips(experiment.evaluate, source, **shown):
        result = rollout(params, clips.video[:, :seen], clips.rows, clips.masks)
        for part, predicted in _predictions(clips, result, seen).items():
            table, error = tables(clips, predicted)
            assert table is not None
            positions = predicted.positions
            if positions is None:
                positions = _centers(predicted.masks.argmax(2), predicted.masks.shape[2])
            images = image_scores(predicted.reconstruction[:, seen:], clips.video[:, seen:])
            scored = _Scored(table, error, np.asarray(positions), images)
            found[part].append(jax.tree.map(lambda x, valid=valid: x[valid], scored))
        assert clips.masks is not None
        truths.append(_centers(clips.masks, int(clips.masks.max()) + 1)[valid][:, :, 1:])
        if contacts:
            moved = [source[int(row)]["velocities"][:total] for row in clips.rows[valid]]
            members.append(np.stack([groups(one, num_observed=seen) for one in moved]))
    truth = _joined(truths, np.nan)
    parts = {part: _Scored.joined(batches) for part, batches in found.items()}
    content = {part: _scores(scored, truth, seen) for part, scored in parts.items()}
    if contacts:
        height, width = source[0]["video"].shape[1:3]
        member = np.concatenate(members)
        for part, (table, _, positions, _) in parts.items():
            content[part]["contacts"] = group_scores(
                table, positions, truth, member, num_observed=seen, size=(width, height)
            )
    return {"observed": seen, "simulated": count, "clips": len(truth), "parts": content}


class _Scored(NamedTuple):
    """What the scores of a prediction are made of, clip by clip."""

    table: np.ndarray  # [B, T, N, K] and
    error: np.ndarray  # [B, T] of ``evaluator.tables``
    positions: np.ndarray  # [B, T, K, 2]
    images: Mapping[str, np.ndarray]  # [B, n] of the simulated frames, see ``image_scores``

    @classmethod
    def joined(cls, batches: Sequence["_Scored"]) -> "_Scored":
        """Those of all batches."""
        tables, errors, positions, images = zip(*batches, strict=True)
        names = {name: np.concatenate([one[name] for one in images]) for name in images[0]}
        return cls(_joined(tables, 0), np.concatenate(errors), np.concatenate(positions), names)


def _predictions(clips: Clips, result: Decomposition, seen: int) -> Mapping[str, Decomposition]:
    """All predictions of a batch, each with the model's result in the observed frames."""
    count = clips.video.shape[1] - seen
    slots, num_slots = np.asarray(result.masks)[:, :seen].argmax(2), result.masks.shape[2]
    frames = clips.video[:, :seen] / np.float32(255.0)
    repeated = [repeat_last(*clip, count=count) for clip in zip(slots, frames, strict=True)]
    moved = [
        move_on(*clip, num_slots=num_slots, count=count) for clip in zip(slots, frames, strict=True)
    ]
    return {
        MODEL: result,
        PARTS[1]: _with_prediction(result, repeated, seen),
        PARTS[2]: _with_prediction(result, moved, seen),
    }


def _with_prediction(result: Decomposition, predicted: list[Predicted], seen: int) -> Decomposition:
    """Replace the simulated frames of a decomposition; positions are then those of masks."""
    ids = np.stack([one.slots for one in predicted])
    hard = ids[:, :, None] == np.arange(result.masks.shape[2])[:, None, None]
    frames = np.stack([one.frames for one in predicted])
    return result._replace(
        reconstruction=np.concatenate([result.reconstruction[:, :seen], frames], axis=1),
        masks=np.concatenate([result.masks[:, :seen], hard], axis=1),
        positions=None,
    )


def _centers(ids: np.ndarray, count: int) -> np.ndarray:
    """Box centers, clip by clip to save memory: each id needs a mask."""
    return np.stack([box_centers(clip, count=count) for clip in ids])


def _scores(scored: _Scored, truth: np.ndarray, seen: int) -> dict[str, Any]:
    """Scores of all clips of one prediction."""
    table, error, positions, images = scored
    frames = range(seen, error.shape[1])
    return {
        "observed": mean_scores(table, error, slice(seen)),
        "frames": [
            {
                **mean_scores(table, error, slice(t, t + 1)),
                **{name: float(values[:, t - seen].mean()) for name, values in images.items()},
            }
            for t in frames
        ],
        "horizons": {
            str(t + 1 - seen): mean_scores(table, error, slice(seen, t + 1)) for t in frames
        },
        "velocity": dict(_velocities(positions, truth, seen)),
    }


def _joined(batches: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Join batches [B, T, N, …], padded to the largest number of objects N."""
    most = max(batch.shape[2] for batch in batches)
    filled = [
        np.pad(
            batch,
            [(0, most - size if axis == 2 else 0) for axis, size in enumerate(batch.shape)],
            constant_values=fill,
        )
        for batch in batches
    ]
    return np.concatenate(filled)


def _velocities(
    positions: np.ndarray, truth: np.ndarray, seen: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    for matching in MATCHINGS:
        scores = velocity_scores(positions, truth, num_observed=seen, matching=matching)
        yield matching, scores._asdict()


if __name__ == "__main__":
    run_worker(measure, writes=SIMULATE.writes)
