"""Results of modes as files; results of other models and settings are kept."""

import importlib.metadata
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from stiid.config.experiment import Experiment
from stiid.data.clip_files import clip_files, files_text
from stiid.data.source import Source
from stiid.errors import printable
from stiid.evaluation.evaluator import Evaluation, empty_clips, report, table_text
from stiid.evaluation.prediction import clip_parts
from stiid.evaluation.rollout import Clips
from stiid.evaluation.slot_usage import findings, summary
from stiid.files import free_name, write_json
from stiid.models.base import Decomposition
from stiid.outputs.figure import FigureRequest, write_figure
from stiid.outputs.sheets import decomposition_strips
from stiid.typed_config import to_dict

_LOG = logging.getLogger("stiid")
_ORIGIN = ("step", "data", "config")  # what the numbers depend on


def keep_older(path: Path, content: Mapping[str, Any]) -> None:
    """Rename an older result, unless it is of the same model, data and settings.

    Args:
      path: of a JSON file, or of a folder with a metrics.json, that will be replaced.
      content: of the new JSON file.
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        older = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        older = {}  # damaged, so its origin is unknown
    new = json.loads(json.dumps({name: content[name] for name in _ORIGIN}))
    if isinstance(older, dict) and {name: older.get(name) for name in _ORIGIN} == new:
        return
    aside = free_name(path)
    os.replace(path, aside)
    _LOG.info("the older %s, of another model or other settings, is now %s", path.name, aside.name)


def write_clip_figure(
    figure: FigureRequest, clips: Clips, result: Decomposition, *, num_observed: int
) -> None:
    """Write a figure of a predicted clip."""
    if figure.clip >= len(clips.video):
        raise ValueError(
            f"--figure_clip must be less than the number of clips {len(clips.video)}, got "
            f"{figure.clip}: choose another one, or raise predict.clips"
        )
    strips = decomposition_strips(*clip_parts(clips, result, figure.clip))
    write_figure(figure, strips, simulated_from=num_observed)
    print(printable(f"wrote {figure.path}"))


def run_card(experiment: Experiment, source: Source) -> dict[str, Any]:
    """Facts that are stored with a result: config, data, devices and versions."""
    packages = ("stiid", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")
    return {
        "config": to_dict(experiment),
        "data": source.fingerprint,
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
        # For float32 numbers; the default on GPUs that have TensorFloat-32 is TensorFloat-32.
        "matmul_precision": getattr(jax.config, "jax_default_matmul_precision", None) or "default",
        "versions": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # used from a checkout on the path
        return "not installed"


def write_scores(
    workdir: Path, evaluation: Evaluation, step: int, experiment: Experiment, source: Source
) -> None:
    """Print scores, and write ``eval/metrics.json``."""
    if jax.process_index() == 0:
        path = workdir / "eval" / "metrics.json"
        files = clip_files(source, evaluation.clips)
        content = report(
            evaluation,
            step=step,
            experiment=experiment,
            fingerprint=source.fingerprint,
            files=files,
        )
        keep_older(path, content)
        write_json(path, content)
        print(table_text(evaluation.scores))
        if note := empty_clips(evaluation):
            print(f"note: {note}")
        print(summary(evaluation.use))
        for finding in findings(evaluation.use, family=experiment.model.family):
            print(f"note: {finding}")
        if files:
            print(printable(f'scored {files_text(files)}; see "files" in {path.name}'))
        print(printable(f"wrote {path}"))
