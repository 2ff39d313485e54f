"""Evaluation: decompose held-out clips and score the segmentation at several lengths."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from stiid import parallel
from stiid.data.pipeline import eval_batches
from stiid.data.source import Source
from stiid.experiment import Evaluate, Experiment, to_dict
from stiid.files import atomic_path
from stiid.metrics import ScoreTotals, check_ids, clip_scores, contingency
from stiid.shapes import Array, Params
from stiid.system import System, row_keys

NUM_IDS = 16  # true ids that a table has room for, background included

Scores = dict[int, dict[str, float]]  # length → score → mean over clips


class Evaluator:
    """Scores parameters on the clips of a source; compiles once.

    Args:
      settings: what to measure.
      system: the model with its test-time inference.
      source: clips with masks.
    """

    def __init__(self, settings: Evaluate, system: System, source: Source) -> None:
        parallel.check_batch_size(settings.batch_size, name="evaluate.batch_size")
        self._settings, self._source = settings, source
        key = jax.random.key(settings.seed)

        def score(
            params: Params, video: Array, true_ids: Array, rows: Array
        ) -> tuple[Array, Array]:
            result = system.decompose(
                params,
                video,
                row_keys(key, rows),
                num_slots=settings.num_slots,
                noise=settings.noise,
            )
            error = (result.reconstruction - video.astype(jnp.float32) / 255.0) ** 2
            table = contingency(
                true_ids,
                result.masks.argmax(axis=2),
                num_ids=NUM_IDS,
                num_slots=settings.num_slots,
            )
            return table, error.mean(axis=(2, 3, 4))

        self._score = parallel.data_parallel_rows(score, batch_args=(1, 2, 3), num_args=4)

    def __call__(self, params: Params) -> tuple[Scores, int]:
        """Mean scores at each length, and the number of clips that they are means of."""
        lengths = self._settings.lengths
        totals = {length: ScoreTotals.empty() for length in lengths}
        for batch in eval_batches(
            self._source,
            batch_size=self._settings.batch_size,
            num_frames=max(lengths),
            limit=self._settings.clips or None,
            shard_index=jax.process_index(),
            shard_count=jax.process_count(),
        ):
            check_ids(batch["masks"], size=NUM_IDS)
            rows = np.maximum(batch["index"], 0).astype(np.int32)
            inputs = parallel.shard((batch["video"], batch["masks"], rows))
            tables, errors = parallel.unshard(self._score(params, *inputs))
            for length in lengths:
                clips = clip_scores(tables, errors, length=length)
                totals[length] = totals[length].merge(ScoreTotals.from_clips(clips, batch["valid"]))
        merged = {length: _over_processes(total) for length, total in totals.items()}
        scores = {length: total.mean() for length, total in merged.items()}
        return scores, merged[lengths[0]].count


def report(
    scores: Scores, *, clips: int, step: int, experiment: Experiment, fingerprint: str
) -> dict[str, Any]:
    """The content of ``eval/metrics.json``."""
    return {
        "lengths": {str(length): values for length, values in scores.items()},
        "slots": experiment.evaluate.num_slots,
        "clips": clips,
        "step": step,
        "data": fingerprint,
        "config": to_dict(experiment),
    }


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def table(scores: Scores) -> str:
    """Scores as text: one row per length."""
    names = list(next(iter(scores.values())))
    lines = ["frames " + " ".join(f"{name:>13}" for name in names)]
    for length, values in scores.items():
        lines.append(f"{length:>6} " + " ".join(f"{values[name]:>13.4f}" for name in names))
    return "\n".join(lines)


def _over_processes(total: ScoreTotals) -> ScoreTotals:
    """Merge the totals of all processes."""
    if jax.process_count() == 1:
        return total
    names = sorted(total.sums)
    local = np.array([*(total.sums[name] for name in names), total.count])
    # Doubles travel as pairs of 32-bit words, which JAX leaves alone.
    gathered = np.asarray(multihost_utils.process_allgather(local.view(np.uint32)))
    merged = ScoreTotals.empty()
    for words in gathered:
        *sums, count = np.ascontiguousarray(words).view(np.float64)
        merged = merged.merge(
            ScoreTotals(sums=dict(zip(names, map(float, sums), strict=True)), count=int(count))
        )
    return merged
