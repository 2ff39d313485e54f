"""Frames that start from seeds: the start of each frame, and the bound that teaches it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from stiid.method import inference, likelihood, starts
from stiid.method.elbo import evaluate
from stiid.method.parameters import init_params


def test_frames_start_from_what_slots_take(make_model):
    """Queries are those of frame 0; nothing else changes."""
    frame = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 3)), jnp.float32)
    model = make_model(posterior_start="seeds")
    params = init_params(model, jax.random.key(0))
    start = inference.first_frame(model, params, batch=2, num_slots=3, frame=frame)
    taken = model.take(params, frame, 3)
    np.testing.assert_array_equal(start.queries, taken.queries)
    plain = make_model()
    assert inference.first_frame(plain, params, batch=2, num_slots=3).queries is None
    begun, again = starts.take(model, params, start, frame)
    np.testing.assert_array_equal(begun.shares, again.shares)
    learned = starts.learned(params, (2, 3))
    np.testing.assert_allclose(begun.posterior.mean, learned.mean + again.delta.mean, rtol=1e-6)


def test_the_scale_of_seeds_is_a_start_of_training(make_model):
    """It changes two initial parameters, and no others."""
    key = jax.random.key(0)
    params, other = (
        init_params(make_model(posterior_start="seeds", **change), key)
        for change in ({}, {"seed_scale": 9.0})
    )
    assert params["seeds"]["scales"].tolist() == [5.0, 5.0]
    assert other["seeds"]["scales"].tolist() == [9.0, 9.0]
    other["seeds"] = {**other["seeds"], "scales": params["seeds"]["scales"]}
    jax.tree.map(np.testing.assert_array_equal, params, other)
    for wrong in (0.0, float("nan")):
        with pytest.raises(ValueError, match=r"inference.seed_scale must be"):
            make_model(posterior_start="seeds", seed_scale=wrong)


def test_seeds_need_an_image_and_memory(make_model):
    model = make_model(posterior_start="seeds")
    params = init_params(model, jax.random.key(0))
    with pytest.raises(ValueError, match="needs the image of frame 0"):
        inference.first_frame(model, params, batch=2, num_slots=3)
    with pytest.raises(ValueError, match="posterior_start='seeds' needs another time_axis"):
        make_model(
            posterior_start="seeds",
            time_axis="none",
            grid="full",
            conditional_prior=False,
            generation=False,
        )


@pytest.mark.slow
def test_the_loss_gains_the_bound_on_frame_0(tmp_path):
    def system(weight):
        experiment = tiny.experiment(
            tmp_path,
            model__inference__posterior_start="seeds",
            model__objective__seeds=weight,
        )
        return experiment.model.build((8, 8, 3))

    ours, plain = system(0.5), system(0.0)
    params = jax.jit(ours.init)(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(1), 2)
    with tiny.quick_compilation():
        totals = [jax.jit(s.loss)(params, video, keys).total for s in (ours, plain)]
    frame = jnp.asarray(video[:, 0] / 255.0, jnp.float32)
    start = inference.first_frame(
        ours.model, params, batch=2, num_slots=ours.num_slots, frame=frame
    )
    start, taken = starts.take(ours.model, params, start, frame)
    size = ours.model.inference.refinements + 1, ours.num_slots, ours.model.prior.latent_size
    noise = jnp.stack([jax.random.normal(key, (2, *size))[0, 0] for key in keys])
    first = evaluate(ours.model, params, start.posterior, start.context, frame, noise)
    bound = likelihood.assigned_nll(
        ours.model.inference, first.exponents, first.decoded.logits, taken.shares
    )
    expected = 0.5 * ours.objective.beta * bound
    np.testing.assert_allclose(totals[0] - totals[1], expected, rtol=1e-3)


@pytest.mark.slow
def test_the_bound_needs_seeds(tmp_path):
    system = tiny.experiment(tmp_path, model__objective__seeds=1.0).model.build((8, 8, 3))
    params = jax.jit(system.init)(jax.random.key(0))
    video = np.zeros((1, 2, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"seeds needs inference\.posterior_start='seeds'"):
        system.loss(params, video, jax.random.split(jax.random.key(1), 1))
