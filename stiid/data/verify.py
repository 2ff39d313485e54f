"""Check the clips of a source, and undocumented properties of R-NEM's files.

Figures are returned for printing; clear faults raise ValueError.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from stiid.data.balls.r_nem import RNemSource, RNemSpec
from stiid.data.source import UNKNOWN_OBJECTS, Source
from stiid.data.spacing import spaced


def verify_elements(source: Source, *, clips: int) -> dict[str, float]:
    """Check evenly spaced clips against the description of `source.Source`.

    Args:
      source: any source.
      clips: largest number of clips to read.

    Returns:
      Number of clips in the source, number read, clips per second, and means over the clips read:
      brightness (0..1), change (mean |difference| of consecutive frames, 0..1), share of object
      pixels, number of objects.

    Raises:
      ValueError: if an element is not as described; the message names the clip and the field.
    """
    places = spaced(len(source), clips)
    started = time.perf_counter()
    read = [source[place] for place in places]
    seconds = time.perf_counter() - started
    for clip in read:
        _check_element(clip, read[0])
    names = [clip["id"] for clip in read]
    if len(set(names)) < len(names):
        raise ValueError("two clips have the same id")
    frames = [clip["video"].astype(np.float32) / 255 for clip in read]
    figures = {
        "clips": float(len(source)),
        "clips_read": float(len(read)),
        "clips_per_second": len(read) / seconds,
        "brightness": float(np.mean([video.mean() for video in frames])),
        "change": float(np.mean([np.abs(np.diff(v, axis=0)).mean() for v in frames]))
        if len(frames[0]) > 1
        else 0.0,
    }
    if read[0]["n_objects"] != UNKNOWN_OBJECTS:
        figures["object_pixels"] = float(np.mean([(clip["masks"] > 0).mean() for clip in read]))
        figures["objects"] = float(np.mean([clip["n_objects"] for clip in read]))
    return figures


def _check_element(clip: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Raise ValueError unless a clip is as `source.Source` says, and like the first one."""
    where, video, masks = f"clip {clip['id']!r}", clip["video"], clip["masks"]
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] not in (1, 3):
        raise ValueError(
            f"{where}: expected video uint8 [T, H, W, 1 or 3], got {video.dtype} {video.shape}"
        )
    if video.shape != first["video"].shape:
        raise ValueError(
            f"{where}: video has shape {video.shape}, that of {first['id']!r} has "
            f"{first['video'].shape}: all must agree"
        )
    if masks.dtype != np.uint8 or masks.shape != video.shape[:3]:
        raise ValueError(
            f"{where}: expected masks uint8 {video.shape[:3]}, got {masks.dtype} {masks.shape}"
        )
    count = clip["n_objects"]
    if (count == UNKNOWN_OBJECTS) != (first["n_objects"] == UNKNOWN_OBJECTS):
        raise ValueError(f"{where}: only some clips have true masks: all or none must have them")
    if masks.max() > max(count, 0):
        raise ValueError(f"{where}: masks contain the id {masks.max()}, but n_objects is {count}")


def verify_r_nem(spec: RNemSpec, split: str, data_dir: str, clips: int) -> dict[str, float]:
    """Check properties of an R-NEM file that its layout does not document.

    Returns:
      lit_outside_groups: share of lit pixels that belong to no ball; 0 if `groups` is the
        segmentation.
      dark_in_groups: share of ball pixels that are dark, such as those behind a curtain that
        `groups` ignores.
      centroid_error: mean distance in pixels between `positions`, scaled by `box`, and the
        centroids of the balls' masks, over wholly visible balls (area of at least 90 % of πr²).
        It reveals a wrong `box`, other units, or swapped coordinates.
    """
    del data_dir
    source = RNemSource(spec, split)
    lit, outside, owned, dark, errors = 0, 0, 0, 0, []
    for index in spaced(len(source), clips):
        clip = source[index]
        seen, masks = clip["video"].any(-1), clip["masks"]
        lit, outside = lit + seen.sum(), outside + (seen & (masks == 0)).sum()
        owned, dark = owned + (masks > 0).sum(), dark + (~seen & (masks > 0)).sum()
        if "positions" in clip:
            errors.append(_centroid_errors(masks, clip["positions"], clip["radii"]))
    figures = {
        "lit_outside_groups": float(outside / max(lit, 1)),
        "dark_in_groups": float(dark / max(owned, 1)),
    }
    if errors:
        figures["centroid_error"] = float(np.concatenate(errors).mean())
    return figures


def _centroid_errors(masks: np.ndarray, positions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Distances [n] between positions [T, n, 2] and mask centroids of wholly visible balls."""
    rows, columns = (np.arange(size) + 0.5 for size in masks.shape[1:])
    distances = []
    for ball, radius in enumerate(radii[: positions.shape[1]]):
        own = masks == ball + 1
        area = own.sum((1, 2))
        whole = (area > 0) & (area >= 0.9 * np.pi * radius**2)
        centers = np.stack([own.sum(1) @ columns, own.sum(2) @ rows], -1)[whole]
        offsets = centers / area[whole, None] - positions[whole, ball]
        distances.append(np.linalg.norm(offsets, axis=-1))
    return np.concatenate(distances) if distances else np.zeros(0)
