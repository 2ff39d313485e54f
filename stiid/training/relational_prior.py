"""Teach a trained model to simulate: its relational prior learns, all else stays as it is.

The model infers the slots of training clips once. Updates then need neither images nor networks but
the prior, so that thousands of them take minutes: roll-outs from random frames on, for more and
more frames, teach the motion; pairs of frames of a clip teach what latents are at another place.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from stiid.config.experiment import Evaluate, Experiment
from stiid.data.source import Source
from stiid.evaluation.rollout import Rollout, evaluation_clips
from stiid.method.simulation import mean_sizes, places_of, roll_out_errors
from stiid.models.base import VideoModel
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.shapes import Array, Params
from stiid.typed_config import override

_LEAST_SPREAD = 1e-3  # of a latent, to be divided by


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a relational prior is trained.

    Attributes:
      clips: training clips whose slots are inferred; 0 means all.
      num_frames: frames of each.
      horizon: frames of a roll-out.
      updates: of the motion.
      growth: fraction of the updates during which roll-outs grow from one frame to the horizon.
      batch_size: roll-outs in an update.
      moves: updates of what moves latents.
      pairs: of frames in such an update.
      learning_rate: at the start of both; it falls along a half cosine to a hundredth.
      mirrored: roll-outs are mirrored and transposed at random: for a law without up and down.
      seed: of the initial parameters and of all random choices.
    """

    clips: int = 1024
    num_frames: int = 40
    horizon: int = 10
    updates: int = 20_000
    growth: float = 0.3
    batch_size: int = 64
    moves: int = 8000
    pairs: int = 256
    learning_rate: float = 3e-3
    mirrored: bool = False
    seed: int = 0


class Tracks(NamedTuple):
    """Slots of clips, inferred."""

    latents: np.ndarray  # [T, N, K, D] posterior means
    places: np.ndarray  # [T, N, K, 2], see ``method.simulation.places_of``
    sizes: np.ndarray  # [N, K]


def with_relational_prior(experiment: Experiment) -> Experiment:
    """The experiment whose model simulates by a relational prior."""
    change = {"inference": {"simulation_start": "relational"}}
    return dataclasses.replace(experiment, model=override(experiment.model, change, "model"))


def infer_tracks(
    evaluate: Evaluate, system: VideoModel, params: Params, source: Source, recipe: Recipe
) -> Tracks:
    """Decompose training clips.

    Args:
      evaluate: slots, noise and batch size.
      system: the model with its test-time inference.
      params: of the model.
      source: training clips.
      recipe: how many, and how long.
    """
    rollout = Rollout(evaluate, system, num_simulated=0)
    settings = dataclasses.replace(evaluate, clips=recipe.clips)
    batches = evaluation_clips(
        settings, source, num_frames=recipe.num_frames, what="Inferring slots"
    )
    found = []
    for clips, valid in batches:
        result = rollout(params, clips.video, clips.rows)
        if result.latents is None:
            raise ValueError("only models that decode slots from latents can be taught to simulate")
        places, areas = jax.device_get(places_of(result.masks))
        found.append([np.asarray(x)[valid] for x in (result.latents.z, places, areas)])
    z, places, areas = (np.concatenate(x).swapaxes(0, 1) for x in zip(*found, strict=True))
    return Tracks(z, places, np.asarray(mean_sizes(jnp.asarray(areas))))


def train_motion(
    system: SpatioTemporal, params: Params, tracks: Tracks, recipe: Recipe
) -> Iterator[tuple[Params, Array]]:
    """Train the motion of slots from random frames of clips on.

    Args:
      system: of ``with_relational_prior``.
      params: of a relational prior, see ``init_relational``; only the motion's change.
      tracks: of ``infer_tracks``.
      recipe: how.

    Yields:
      After each update the prior's parameters, and ``roll_out_errors`` [horizon] of its batch.
    """
    model, horizon = system.model, recipe.horizon
    most, rows = len(tracks.places), recipe.batch_size
    if most < horizon + 2:
        raise ValueError(
            f"roll-outs of {horizon} frames need clips of {horizon + 2} or more, got {most}"
        )
    frames = min(model.motion.window + horizon, most)
    optimizer = _optimizer(recipe.learning_rate, recipe.updates)
    places, sizes = _occupied(tracks)

    def loss(motion: Params, batch: Array, sizes: Array, weights: Array) -> tuple[Array, Array]:
        prior = {"relational": {"motion": motion}}
        errors = roll_out_errors(model, prior, batch, sizes, num_frames=horizon)
        return (weights * errors).sum() / weights.sum(), errors

    @jax.jit
    def update(motion: Params, state: optax.OptState, step: Array) -> tuple:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(recipe.seed), step), 4)
        clips = jax.random.randint(keys[0], (rows,), 0, places.shape[1])
        first = jax.random.randint(keys[1], (rows,), 0, len(places) - frames + 1)
        batch = places[first[None] + jnp.arange(frames)[:, None], clips[None]]
        if recipe.mirrored:
            signs = jax.random.rademacher(keys[2], (1, rows, 1, 2), jnp.float32)
            transposed = jax.random.bernoulli(keys[3], shape=(1, rows, 1, 1))
            batch = signs * jnp.where(transposed, batch[..., ::-1], batch)
        grown = jnp.minimum(step / (recipe.growth * recipe.updates), 1.0)
        weights = jnp.clip(1.0 + (horizon - 1) * grown - jnp.arange(horizon), 0.0, 1.0)
        gradient, errors = jax.grad(loss, has_aux=True)(motion, batch, sizes[clips], weights)
        change, state = optimizer.update(gradient, state, motion)
        return optax.apply_updates(motion, change), state, errors

    motion = params["motion"]
    state = optimizer.init(motion)
    for step in range(recipe.updates):
        motion, state, errors = update(motion, state, np.int32(step))
        yield {**params, "motion": motion}, errors


def train_mover(
    system: SpatioTemporal, params: Params, tracks: Tracks, recipe: Recipe
) -> Iterator[tuple[Params, Array]]:
    """Train what moves latents, on pairs of frames of a clip.

    Arguments and results are as those of ``train_motion``; the errors are mean squares, in units of
    the latents' variances.
    """
    model = system.model
    optimizer = _optimizer(recipe.learning_rate, recipe.moves)
    z, places = jnp.asarray(tracks.latents), jnp.asarray(tracks.places)
    spread = jnp.maximum(z.std((0, 1, 2)), _LEAST_SPREAD)

    def loss(mover: Params, batch: tuple[Array, Array, Array], true: Array) -> Array:
        moved = model.move({"relational": {"mover": mover}}, *batch)
        return (((moved - true) / spread.reshape(1, 1, -1)) ** 2).mean()

    @jax.jit
    def update(mover: Params, state: optax.OptState, step: Array) -> tuple:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(recipe.seed + 1), step), 3)
        most = (z.shape[1], len(z), len(z))
        clips, here, there = (
            jax.random.randint(key, (recipe.pairs,), 0, size)
            for key, size in zip(keys, most, strict=True)
        )
        batch = (z[here, clips], places[here, clips], places[there, clips])
        error, gradient = jax.value_and_grad(loss)(mover, batch, z[there, clips])
        change, state = optimizer.update(gradient, state, mover)
        return optax.apply_updates(mover, change), state, error

    mover = {**params["mover"], "center": z.mean((0, 1, 2)), "scale": spread}
    state = optimizer.init(mover)
    for step in range(recipe.moves):
        mover, state, error = update(mover, state, np.int32(step))
        yield {**params, "mover": mover}, error


def _occupied(tracks: Tracks) -> tuple[Array, Array]:
    """Places and sizes without slots that are empty in every clip: they cost time, and no error."""
    order = np.argsort(-tracks.sizes, axis=1)[:, : (tracks.sizes > 0.0).sum(1).max()]
    places = np.take_along_axis(tracks.places, order[None, ..., None], axis=2)
    return jnp.asarray(places), jnp.asarray(np.take_along_axis(tracks.sizes, order, axis=1))


def _optimizer(rate: float, updates: int) -> optax.GradientTransformation:
    decay = optax.cosine_decay_schedule(rate, updates, 0.01)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(decay))
