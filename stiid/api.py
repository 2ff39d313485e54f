"""The Python API: load a model, decompose and predict videos, score the masks.

import stiid

model = stiid.load("small_color")
result = model.decompose("clip.mp4")
result.show()
"""

import os
from typing import Any

import jax

from stiid.data.video.frames import read_video
from stiid.evaluation.scoring import score_masks
from stiid.outputs.result import Result
from stiid.training.devices import PROGRAMS, enable_compilation_cache
from stiid.training.locate import find_model
from stiid.training.trained_model import Model

__all__ = ["Model", "Result", "load", "read_video", "score"]


def load(source: str | os.PathLike[str], *, step: str = "latest") -> Model:
    """Load a trained model.

    Args:
      source: the name of a released model ("small_color" or "stiid://small_color"), the folder of a
        run, or the folder of one checkpoint.
      step: "latest" or "best" checkpoint of a run.

    Compiled programs are kept in ~/.cache/stiid/programs, unless JAX has another folder for them.

    Raises:
      ValueError, OSError: there is no such model, or its files are damaged.
    """
    if step not in ("latest", "best"):
        raise ValueError(f"step must be 'latest' or 'best', got {step!r}")
    workdir, checkpoint = find_model(source)
    if checkpoint != "latest" and step == "best":
        raise ValueError(f"step='best' needs the folder of a run, got {source}")
    config: Any = jax.config  # whose fields mypy knows only in newer releases
    if config.jax_compilation_cache_dir is None:
        enable_compilation_cache(PROGRAMS)
    return Model.restore(None, workdir, step if checkpoint == "latest" else checkpoint)


def score(predicted: Any, true_masks: Any) -> dict[str, float]:
    """Compare predicted with true masks.

    Args:
      predicted: a ``Result``, or masks as arrays: slots as integers [T, H, W] or [B, T, H, W], or
        probabilities as floats [T, K, H, W] or [B, T, K, H, W].
      true_masks: integers [T, H, W] or [B, T, H, W] of the same sizes; 0 is the background.

    Returns:
      The mean over clips with objects of each score: ``ari`` and ``f_ari`` (true objects only)
      compare all frames of a clip at once, ``ari_frame`` and ``f_ari_frame`` frame by frame;
      ``miou`` is the mean intersection over union with the objects' own slots, ``mbo`` with the
      best ones; ``recall`` is the fraction of objects with a slot of their own (IoU ≥ ½);
      ``slot_switches`` counts how often objects change their slot; ``mota``, ``idf1`` and
      ``id_switches`` score tracks, ``j`` and ``f`` regions and contours as DAVIS does. All are
      NaN if no clip has objects: ``clips`` and ``clips_with_objects`` count them. ``ari_authors``
      and ``f_ari_authors`` are comparable with the paper's numbers: like those frame by frame, but
      over all frames and clips, where ``f_ari_authors`` is 1 without objects.

    Raises:
      ValueError: shapes or types do not fit.
    """
    return score_masks(predicted.slots if isinstance(predicted, Result) else predicted, true_masks)
