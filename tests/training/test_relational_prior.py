"""Training of the relational prior alone."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from experiments import relational_prior as command
from stiid.method.parameters import init_relational
from stiid.training.relational_prior import (
    Recipe,
    Tracks,
    train_motion,
    train_mover,
    with_relational_prior,
)
from stiid.training.restore import restore_model


@pytest.fixture(scope="module")
def system():
    experiment = with_relational_prior(tiny.experiment("unused"))
    return experiment.model.build((8, 8, 3))


@pytest.fixture
def prior(system):
    return init_relational(system.model, jax.random.key(0))


def falling(frames=8, clips=16, slots=2):
    """Slots that fall, as no line says, and latents that are places in another form."""
    rng = np.random.default_rng(0)
    time = np.arange(frames).reshape(-1, 1, 1, 1)
    speed = rng.uniform(-0.03, 0.03, (clips, slots, 2))
    places = rng.uniform(-0.5, 0.5, (clips, slots, 2)) + speed * time + 0.01 * time**2 * [0, 1]
    own = rng.normal(size=(1, clips, slots, 2)) + 0.0 * places
    latents = np.concatenate([3.0 * places + 1.0, own], -1)
    sizes = np.full((clips, slots), 0.05)
    return Tracks(*(x.astype(np.float32) for x in (latents, places, sizes)))


RECIPE = Recipe(horizon=3, updates=60, moves=60, batch_size=8, pairs=32, learning_rate=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_motion_is_learned_and_nothing_else(system, prior, mirrored):
    recipe = dataclasses.replace(RECIPE, mirrored=mirrored)
    results = list(train_motion(system, prior, falling(), recipe))
    assert len(results) == 60
    errors = np.array([errors for _, errors in results])
    assert errors.shape == (60, 3)
    if not mirrored:  # what falls up as well is hard to tell from one frame to the next
        assert errors[-5:].mean() < 0.5 * errors[:5].mean()
    last = results[-1][0]
    tiny.assert_same(last["mover"], prior["mover"])
    assert np.abs(last["motion"]["out"]["kernel"]).max() > 0.0


@pytest.mark.slow
def test_the_motion_needs_no_empty_slots(system, prior):
    """With one more, which is empty, at another place in each clip, the same is learned."""
    recipe = dataclasses.replace(RECIPE, updates=3)
    tracks, rng = falling(), np.random.default_rng(4)
    clips = tracks.places.shape[1]
    order = np.argsort(rng.random((clips, 3)), axis=1)
    gap = [(0, 0), (0, 0), (0, 1), (0, 0)]
    more = Tracks(
        tracks.latents,
        np.take_along_axis(np.pad(tracks.places, gap), order[None, ..., None], axis=2),
        np.take_along_axis(np.pad(tracks.sizes, gap[1:3]), order, axis=1),
    )
    ours, theirs = (list(train_motion(system, prior, x, recipe)) for x in (tracks, more))
    for (_, errors), (_, expected) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(errors, expected, rtol=1e-4)


@pytest.mark.slow
def test_the_mover_is_learned_and_nothing_else(system, prior):
    tracks = falling()
    results = list(train_mover(system, prior, tracks, RECIPE))
    errors = np.array([error for _, error in results])
    assert errors[-5:].mean() < 0.3 * errors[:5].mean()
    last = results[-1][0]
    tiny.assert_same(last["motion"], prior["motion"])
    center, scale = tracks.latents.mean((0, 1, 2)), tracks.latents.std((0, 1, 2))
    np.testing.assert_allclose(last["mover"]["center"], center, rtol=1e-4)
    np.testing.assert_allclose(last["mover"]["scale"], scale, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("num_simulated", [0, 1])
def test_other_training_moves_it_only_by_simulated_frames(num_simulated):
    experiment = with_relational_prior(
        tiny.experiment("unused", model__objective__num_simulated=num_simulated)
    )
    system = experiment.model.build((8, 8, 3))
    params = jax.jit(system.init)(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(1), 2)
    with tiny.quick_compilation():
        gradient = jax.jit(jax.grad(lambda p: system.loss(p, video, keys).total.mean()))(params)
    sizes = [np.abs(leaf).max() for leaf in jax.tree.leaves(gradient["relational"])]
    assert (max(sizes) > 0.0) == bool(num_simulated)
    assert np.isfinite(sizes).all()
    assert np.abs(gradient["decoder"]["out"]["kernel"]).max() > 0.0


def test_clips_that_are_too_short_are_refused(system, prior):
    updates = train_motion(system, prior, falling(frames=4), RECIPE)
    with pytest.raises(ValueError, match="roll-outs of 3 frames need clips of 5 or more, got 4"):
        next(updates)


def test_the_command_changes_nothing_but_the_prior(trained, tmp_path):
    output = tmp_path / "taught"
    options = ["--clips=8", "--num_frames=6", "--updates=2", "--moves=2", "--batch_size=4"]
    command.main([str(trained), f"--output={output}", "--horizon=2", "--mirrored", *options])
    before, state, plain = restore_model(None, trained, "latest")
    after, taught, system = restore_model(None, tmp_path, str(output))
    data = dataclasses.replace(before.data, data_dir="~/.cache/stiid")
    assert after == with_relational_prior(dataclasses.replace(before, data=data))
    others = {name: part for name, part in taught.params.items() if name != "relational"}
    tiny.assert_same(others, state.params)
    again = ["--updates=0", "--moves=0", f"--motion={output}", "--clips=8", "--num_frames=6"]
    command.main([str(trained), f"--output={tmp_path / 'again'}", *again])
    _, copied, _ = restore_model(None, tmp_path, str(tmp_path / "again"))
    ours, theirs = (x.params["relational"]["motion"] for x in (copied, taught))
    tiny.assert_same(ours, theirs)
    video = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8, 3), dtype=np.uint8)
    keys, decoding = jax.random.split(jax.random.key(0), 1), after.evaluate.decoding
    found = [
        jax.jit(model.decompose, static_argnames=("decoding", "num_simulated"))(
            params, video, keys, decoding, num_simulated=count
        )
        for model, params, count in ((plain, state.params, 0), (system, taught.params, 2))
    ]
    assert found[1].masks.shape[1] == 5
    np.testing.assert_array_equal(found[1].masks[:, :3], found[0].masks)
