"""Evaluation: decompose held-out clips and score the segmentation at several lengths."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from stiid import parallel
from stiid.config.experiment import Evaluate, Experiment
from stiid.data.source import UNKNOWN_OBJECTS, Source
from stiid.evaluation.metrics import AUTHORS_SCORES, clip_scores, contingency
from stiid.evaluation.rollout import Clips, Rollout, evaluation_clips
from stiid.evaluation.slot_usage import slot_use
from stiid.evaluation.totals import ScoreTotals
from stiid.models.base import Decomposition, VideoModel
from stiid.shapes import Params
from stiid.typed_config import to_dict

_NUM_IDS = 16  # least number of rows of a contingency table (true ids, background included)

PREVIEWS = 2  # clips of the first batch that an evaluation keeps for images

_contingency = jax.jit(contingency, static_argnames=("num_ids", "num_slots"))


class Evaluation(NamedTuple):
    """Results of an evaluation."""

    scores: dict[int, dict[str, float]]  # length → score → mean over clips
    use: dict[str, float]  # of slots, at the shortest length: see ``slot_usage.slot_use``
    clips: int  # number of clips; scores of objects are means over fewer:
    with_objects: dict[int, int]  # length → clips with objects; empty without true masks
    preview: tuple[Clips, Decomposition]  # the first few clips, for images


class Evaluator:
    """Scores parameters on the clips of a source; compiles once.

    Inference is causal (apart from the first few frames, which may choose between noise samples),
    so that one pass over the longest clips gives the scores at all lengths. DDPAE's inference is
    not causal: ``Experiment`` allows it one length only.

    Args:
      settings: what to measure.
      system: the model with its test-time inference.
      source: clips with masks.
    """

    def __init__(self, settings: Evaluate, system: VideoModel, source: Source) -> None:
        check_lengths(settings, source)
        self._settings, self._source = settings, source
        self._rollout = Rollout(settings, system, num_simulated=0)

    def __call__(self, params: Params) -> Evaluation:
        """Decompose all clips and score them."""
        lengths = self._settings.lengths
        totals = {length: ScoreTotals.empty() for length in lengths}
        use = ScoreTotals.empty()
        preview = None
        for clips, valid in evaluation_clips(
            self._settings, self._source, num_frames=lengths[-1], what="Evaluating"
        ):
            result = self._rollout(params, clips.video, clips.rows, clips.masks)
            if preview is None:
                preview = _rows((clips, result), np.flatnonzero(valid)[:PREVIEWS])
            table, error = tables(clips, result)
            for length in lengths:
                scores = clip_scores(table, error, length=length)
                total = ScoreTotals.from_clips(scores, valid)
                totals[length] = totals[length].merge(total)
            clip_use = slot_use(clips, result, length=lengths[0])
            use = use.merge(ScoreTotals.from_clips(clip_use, valid))
        assert preview is not None  # a source has at least one clip
        merged = {length: _over_processes(total) for length, total in totals.items()}
        means = {length: total.mean() for length, total in merged.items()}
        return Evaluation(
            scores=means,
            use=_over_processes(use).mean(),
            clips=merged[lengths[0]].count,
            with_objects={
                length: total.with_objects
                for length, total in merged.items()
                if total.with_objects is not None
            },
            preview=preview,
        )


def check_best_metric(name: str, source: Source) -> None:
    """Refuse a ``train.best_metric`` that needs true masks if the clips have none."""
    if name != "mse" and source[0]["n_objects"] == UNKNOWN_OBJECTS:
        raise ValueError(
            f"train.best_metric = {name!r} needs true masks, which the clips do not have: use 'mse'"
        )


def check_lengths(settings: Evaluate, source: Source) -> None:
    """Refuse lengths beyond the clips, and batches that the devices cannot share equally."""
    parallel.check_batch_size(settings.batch_size, name="evaluate.batch_size")
    frames = len(source[0]["video"])
    if max(settings.lengths) > frames:
        raise ValueError(
            f"evaluate.lengths = {settings.lengths} do not fit clips of {frames} frames: choose "
            "shorter lengths, or longer clips of the data"
        )


def tables(clips: Clips, result: Decomposition) -> tuple[np.ndarray | None, np.ndarray]:
    """Contingency tables [B, T, N, K], and mean squared errors of the reconstruction [B, T].

    The tables are None if the clips have no true masks.
    """
    squares = (result.reconstruction - clips.video.astype(np.float32) / 255.0) ** 2
    error = np.asarray(squares.mean(axis=(2, 3, 4)), np.float64)
    if clips.masks is None:
        return None, error
    slots = result.masks.argmax(axis=2)
    # A power of two, so that few shapes are compiled.
    num_ids = max(_NUM_IDS, 1 << int(clips.masks.max()).bit_length())
    table = _contingency(clips.masks, slots, num_ids=num_ids, num_slots=result.masks.shape[2])
    return np.asarray(table), error


def report(
    evaluation: Evaluation,
    *,
    step: int,
    experiment: Experiment,
    fingerprint: str,
    files: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """The content of ``eval/metrics.json``; ``files`` are those of ``clip_files.clip_files``."""
    known = {"files": dict(files)} if files else {}
    return {
        "lengths": {str(length): values for length, values in evaluation.scores.items()},
        "slot_use": evaluation.use,
        "slots": experiment.evaluate.num_slots,
        "clips": evaluation.clips,
        "clips_with_objects": {str(n): count for n, count in evaluation.with_objects.items()},
        "step": step,
        "data": fingerprint,
        **known,
        "config": to_dict(experiment),
    }


def table_text(scores: dict[int, dict[str, float]]) -> str:
    """Scores as text: one row per length; the authors' only if they differ from those per frame."""
    columns = {
        name: [f"{values[name]:>13.4f}" for values in scores.values()]
        for name in next(iter(scores.values()))
    }
    for name, same in AUTHORS_SCORES.items():
        if name in columns and columns[name] == columns[same]:
            del columns[name]
    head = " ".join(["frames", *(f"{name:>13}" for name in columns)])
    rows = zip((f"{length:>6}" for length in scores), *columns.values(), strict=True)
    return "\n".join([head, *map(" ".join, rows)])


def empty_clips(evaluation: Evaluation) -> str | None:
    """A note on clips without objects, if there are any: scores of objects leave them out."""
    parts = [
        f"{count} of {evaluation.clips} clips show objects in the first {length} frames"
        for length, count in evaluation.with_objects.items()
        if count < evaluation.clips
    ]
    return "; ".join(parts) + ": scores of objects are means over these only" if parts else None


def _rows(tree: Any, rows: np.ndarray) -> Any:
    """Copies of some rows of batches; views would keep the whole batch in memory."""
    return jax.tree.map(lambda x: np.array(x[rows]), tree)


def _over_processes(total: ScoreTotals) -> ScoreTotals:
    """Merge the totals of all processes."""
    names = list(total.sums)
    merged = ScoreTotals.empty()
    values = [*(total.sums[n] for n in names), *(total.counts[n] for n in names), total.count]
    for part in parallel.over_processes(np.array(values, np.float64)):
        sums, counts = part[: len(names)].tolist(), part[len(names) : -1].astype(int).tolist()
        merged = merged.merge(
            ScoreTotals(
                sums=dict(zip(names, sums, strict=True)),
                counts=dict(zip(names, counts, strict=True)),
                count=int(part[-1]),
            )
        )
    return merged
