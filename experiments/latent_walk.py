"""Latent walks: change one latent dimension of one slot (Figure 14, appendix F.4).

    python -m experiments.latent_walk --config=configs/NAME.py --checkpoint=RUN --workdir=DIR

Writes ``DIR/walk.npz`` (images [walks, offsets, H, W, C]) and ``DIR/latent_walk.json``: slot and
dimension of each walk and, if the clips give properties of their balls, the linear scores of
``disentanglement``. The frame is the last one of the first clip of the evaluation.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.disentanglement import DESCRIBED, PROPERTIES, linear_r2, samples
from experiments.result import WALK
from experiments.worker import run_worker
from stiid.config.experiment import Experiment
from stiid.data.source import Source
from stiid.evaluation.rollout import Rollout, evaluation_clips
from stiid.files import atomic_path
from stiid.models.base import Latents, VideoModel
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.shapes import Array, Params

# Walks along the dimensions with the largest effect, in the slots of the largest objects.
SLOTS, DIMENSIONS = 3, 3
OFFSETS = np.linspace(-3.0, 3.0, 7)  # standard deviations of the dimension over slots and clips


def measure(
    experiment: Experiment, system: VideoModel, source: Source, params: Params, workdir: Path
) -> dict[str, Any]:
    """Compute the content of ``latent_walk.json``."""
    if not isinstance(system, SpatioTemporal):
        raise ValueError("latent walks need a model of the family 'stiid'")
    settings = experiment.evaluate
    frames = min(settings.lengths)
    rollout = Rollout(settings, system, num_simulated=0)
    found, chosen, codes = [], None, []
    for clips, valid in evaluation_clips(settings, source, num_frames=frames, what="Decomposing"):
        result = rollout(params, clips.video, clips.rows)
        assert result.latents is not None
        slots = np.asarray(result.masks).argmax(2)
        if chosen is None:
            one = Latents(*(x[:1, -1:] for x in result.latents))
            chosen = one, slots[0, -1], np.asarray(result.reconstruction[0, -1])
        codes.append(np.asarray(result.latents.z)[valid])
        for row in np.flatnonzero(valid):
            clip = source[int(clips.rows[row])]
            if clip.keys() >= DESCRIBED:
                found.append(samples(clip, np.asarray(result.latents.z[row]), slots[row]))
    assert chosen is not None
    latents, last, image = chosen
    spread = np.concatenate(codes).std(axis=(0, 1, 2))
    areas = np.bincount(last.ravel(), minlength=latents.z.shape[2])
    walks = choose_walks(system, params, latents, spread, areas)
    images = [
        walk(system, params, latents, slot, dimension, OFFSETS * spread[dimension])
        for slot, dimension, _ in walks
    ]
    with atomic_path(workdir / "walk.npz") as temporary:
        np.savez_compressed(temporary, images=np.stack(images), reconstruction=image)
    names = ("slot", "dimension", "effect")
    return {
        "offsets": OFFSETS.tolist(),
        "walks": [dict(zip(names, one, strict=True)) for one in walks],
        "r2": _scores(found),
    }


def walk(
    system: SpatioTemporal,
    params: Params,
    latents: Latents,
    slot: int,
    dimension: int,
    offsets: np.ndarray,
) -> np.ndarray:
    """Decode images [n, H, W, C] of one frame with one dimension of one slot's z changed.

    Args:
      system: the model.
      params: of the model.
      latents: of the frame, [1, 1, K, …].
      slot: number of the slot.
      dimension: of z, that changes.
      offsets: [n], added to that dimension; at 0 the image is the reconstruction.
    """
    z, h = (jnp.repeat(jnp.asarray(x), len(offsets), axis=1) for x in latents)
    z = z.at[:, :, slot, dimension].add(jnp.asarray(offsets, z.dtype))
    return np.asarray(_decode(system, params, Latents(z, h)))[0]


def choose_walks(
    system: SpatioTemporal,
    params: Params,
    latents: Latents,
    spread: np.ndarray,
    areas: np.ndarray,
) -> list[tuple[int, int, float]]:
    """Choose the walks to show: (slot, dimension, effect).

    The effect of a dimension is the mean squared difference of the images at its last and its
    first offset.

    Args:
      system: the model.
      params: of the model.
      latents: of a frame, [1, 1, K, …].
      spread: [D] standard deviation of z.
      areas: [K] pixels of the slots; the largest is taken for the background.
    """
    order = np.argsort(-areas, kind="stable")[1 : 1 + SLOTS]
    ends = OFFSETS[-1] * spread
    chosen = []
    for slot in order.tolist():
        z, h = (jnp.repeat(jnp.asarray(x), 2 * len(ends), axis=1) for x in latents)
        steps = np.concatenate([np.diag(ends), -np.diag(ends)])
        images = _decode(
            system, params, Latents(z.at[0, :, slot].add(jnp.asarray(steps, z.dtype)), h)
        )
        high, low = np.split(np.asarray(images)[0], 2)
        effects = ((high - low) ** 2).mean(axis=(1, 2, 3))
        best = np.argsort(-effects, kind="stable")[:DIMENSIONS].tolist()
        chosen += [(slot, dimension, float(effects[dimension])) for dimension in best]
    return chosen


@functools.partial(jax.jit, static_argnames="system")
def _decode(system: SpatioTemporal, params: Params, latents: Latents) -> Array:
    return system.decode(params, latents).reconstruction


def _scores(found: list[dict[str, np.ndarray]]) -> dict[str, float | None]:
    """R² of each property; every second clip is held out."""
    if len(found) < 2:
        return dict.fromkeys(PROPERTIES)
    held_out = np.concatenate([np.full(len(one["z"]), i % 2 == 1) for i, one in enumerate(found)])
    joined = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    return {name: linear_r2(joined["z"], joined[name], held_out) for name in PROPERTIES}


if __name__ == "__main__":
    run_worker(measure, writes=WALK.writes)
