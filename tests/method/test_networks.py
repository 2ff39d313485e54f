"""Parameters and switches of the model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiid.method.inference import first_frame
from stiid.method.parameters import init_params
from stiid.nn.initial import uniform_weights

IODINE = {"time_axis": "none", "grid": "full", "conditional_prior": False, "generation": False}


def test_parameters_follow_the_switches(make_model):
    full = init_params(make_model(gradient_skip=0.3), jax.random.key(0))
    assert full.keys() == {"decoder", "refiner", "prior", "posterior", "gradient_skip"}
    np.testing.assert_allclose(full["gradient_skip"], np.full(8, 0.3), rtol=1e-6)
    iodine = init_params(make_model(**IODINE), jax.random.key(0))
    assert iodine.keys() == {"decoder", "refiner", "posterior"}
    # i, g, o and a forget gate per axis, of M = 6; inputs: hidden 7, vectors 16, h per axis.
    assert full["refiner"]["lstm"]["gates"]["kernel"].shape == (7 + 16 + 12, 30)
    assert iodine["refiner"]["lstm"]["gates"]["kernel"].shape == (7 + 16 + 6, 24)


def test_initial_posterior_is_uniform_around_its_offset(make_model):
    model = make_model(init_scale=0.5, init_log_var=-3.0)
    samples = [init_params(model, jax.random.key(seed))["posterior"] for seed in range(20)]
    mean, log_var = np.split(np.stack(samples), 2, axis=-1)
    for values, center in ((mean, 0.0), (log_var, -3.0)):
        assert np.abs(values - center).max() <= 0.5
        assert np.ptp(values) > 0.8
        assert abs(values.mean() - center) < 0.15  # 80 samples: standard error 0.032
    assert all(leaf.dtype == jnp.float32 for leaf in samples)


def test_uniform_weights_are_those_of_pytorch():
    """Bounds 1/√fan-in, and 1/√M in the LSTM; no random number is used twice."""
    params = {
        "conv": {"kernel": np.zeros((3, 3, 6, 8)), "bias": np.zeros(8)},
        "linear": {"kernel": np.zeros((40, 30)), "bias": np.zeros(30)},
        "lstm": {
            "gates": {"kernel": np.zeros((20, 36)), "bias": np.zeros(36)},
            "second_bias": np.zeros(36),
        },
    }
    drawn = uniform_weights(params, jax.random.key(0), 9)
    for name, fan_in in (("conv", 54), ("linear", 40), ("lstm", 9)):
        leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(drawn[name])]
        for leaf in leaves:
            assert np.abs(leaf).max() <= fan_in**-0.5, name
            assert np.abs(leaf).max() > 0.7 * fan_in**-0.5, name
        values = np.concatenate(leaves)
        assert abs(values.std() * (3 * fan_in) ** 0.5 - 1) < 0.1, name
        assert len(np.unique(values)) > 0.99 * len(values), name


def test_initial_weights_are_redrawn_if_uniform(make_model, monkeypatch):
    seen = []

    def redraw(params, key, lstm_features):
        seen.append((sorted(params), lstm_features))
        return params

    monkeypatch.setattr("stiid.method.parameters.uniform_weights", redraw)
    for kind in ("lecun", "uniform"):
        model = make_model(initial_weights=kind, **IODINE)
        jax.eval_shape(functools.partial(init_params, model), jax.random.key(0))
    assert seen == [(["decoder", "refiner"], 6)]  # not the posterior


def test_seeds_keep_their_own_initial_weights(make_model, monkeypatch):
    """Their scales are no layer, whose fan-in uniform weights need."""
    seen = []

    def redraw(params, key, lstm_features):
        seen.extend(params)
        return params

    monkeypatch.setattr("stiid.method.parameters.uniform_weights", redraw)
    model = make_model(initial_weights="uniform", posterior_start="seeds")
    params = jax.eval_shape(functools.partial(init_params, model), jax.random.key(0))
    assert params["seeds"]["scales"].shape == (2,)
    assert "decoder" in seen
    assert "seeds" not in seen


@pytest.mark.parametrize("first_prior", ["learned", "standard"])
def test_first_frame_starts_from_the_learned_posterior_and_zero_states(make_model, first_prior):
    model = make_model(first_prior=first_prior)
    params = init_params(model, jax.random.key(0))
    start = first_frame(model, params, batch=2, num_slots=3)
    for b, k in np.ndindex(2, 3):
        np.testing.assert_array_equal(start.posterior.mean[b, k], params["posterior"][:4])
        np.testing.assert_array_equal(start.posterior.log_var[b, k], params["posterior"][4:])
    assert start.time.h.shape == start.time.c.shape == (2, 3, 6)
    assert not start.time.h.any()
    assert not start.time.c.any()
    expected = (jnp.zeros((2, 3, 4)),) * 2
    if first_prior == "learned":
        expected = model.prior.apply({"params": params["prior"]}, jnp.zeros((2, 3, 6)))
    jax.tree.map(np.testing.assert_array_equal, tuple(start.prior), tuple(expected))


@pytest.mark.parametrize(
    "name",
    [
        "grid",
        "time_axis",
        "posterior_start",
        "simulation_start",
        "first_prior",
        "mixture",
        "posterior_mask",
        "initial_weights",
    ],
)
def test_unknown_values_are_refused_by_name(make_model, name):
    with pytest.raises(ValueError, match=rf"inference.{name}: expected one of .* got 'typo'"):
        make_model(**{name: "typo"})


def test_impossible_settings_are_refused(make_model):
    for name in ("variance", "gradient_scale", "gradient_clamp", "delta_clamp"):
        with pytest.raises(ValueError, match=rf"inference.{name} must be positive, got 0.0"):
            make_model(**{name: 0.0})
    for time_axis in ("none", "chain"):
        for switch in ("conditional_prior", "generation"):
            switches = IODINE | {"time_axis": time_axis, switch: True}
            with pytest.raises(ValueError, match=r"conditional_prior and generation need"):
                make_model(**switches)
