"""The authors' implementation: its numbers, and mistakes that a port could make.

``provide_numbers.json`` holds what github.com/BorealisAI/PROVIDE at ad0b9ef computes under PyTorch
2.13.0 on a CPU, in float64, from the weights, frames and noise of ``provide_recipe``: losses,
masks, appearances and the last h of four runs; and of two of them, for the gradient of each
parameter, its norm, its product with a fixed direction, and three entries. ``provide_numbers.py``
says how to make it again. No line of that implementation is in this project.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import provide_oracle
import provide_recipe as recipe
import pytest
import tiny

from configs import provide as provide_config
from stiid.config import extend
from stiid.config.experiment import Experiment
from stiid.interop.provide import import_params
from stiid.method.inference import infer_video
from stiid.method.objective import loss
from stiid.typed_config import parse

NUMBERS = json.loads(Path(__file__).with_name("provide_numbers.json").read_text())
ROWS, COLUMNS = zip(*NUMBERS["pixels"], strict=True)


def model_config(case, *, hidden=128, width=64, **changes):
    """``configs/provide.py`` for a case; changes name fields with "__" for a dot."""
    config = extend(
        provide_config.get_config("binary" if case.entropy else "color"),
        model={
            "latent_size": case.latent,
            "num_slots": case.slots,
            "decoder": {"mlp_features": case.latent, "features": width},
            "refiner": {"features": width, "hidden": hidden, "lstm_features": hidden},
            "prior": {"features": hidden},
            "inference": {"refinements": case.evaluations - 1, "gradient_scale": 1 / case.batch},
        },
    )
    for name, value in changes.items():
        section, field = name.split("__")
        config = extend(config, model={section: {field: value}})
    return parse(Experiment, config).model


def state_of(case, **sizes):
    buffers = {k: v for k, v in sizes.items() if k != "width"}
    return recipe.draw_params(latent=case.latent, **sizes) | recipe.draw_buffers(
        evaluations=case.evaluations, slots=case.slots, latent=case.latent, **buffers
    )


def noise_of(case, noise):
    """The recipe's noise in the layout of ``infer_video``: [T, R + 1, B, K, D]."""
    shape = (case.frames + case.simulated, case.evaluations, case.batch, case.slots, case.latent)
    ours, samples = np.zeros(shape, noise.dtype), iter(noise.reshape(len(noise), *shape[2:]))
    ours[0, 0] = next(samples)
    for t, count in enumerate(case.counts):
        for j in range(1, count):
            ours[t, j] = next(samples)
    return ours


def infer(case, config, params, *, image=64):
    """The mean loss of the seen frames, and what the engine inferred."""
    system = config.build((image, image, 3))
    video, noise = recipe.draw_inputs(case, image=image)
    video = np.moveaxis(video, 2, -1).astype(params["posterior"].dtype)
    noise = noise_of(case, noise).astype(video.dtype)
    seen = video[:, : case.frames]
    result = infer_video(
        system.model, params, seen, noise, system.objective.elbo, num_simulated=case.simulated
    )
    seen_frames = result._replace(
        frames=jax.tree.map(lambda x: x[: case.frames], result.frames),
        terms=result.terms[:-1] if case.simulated else result.terms,
    )
    terms = loss(system.objective, system.model.inference, seen_frames, jnp.asarray(seen))
    return terms.total.mean(), (terms, result)


@functools.cache
def computed(name, precision="float64"):
    """A case as the engine computes it, and the gradient where there are numbers."""
    case = recipe.CASES[name]
    config = model_config(case)
    params = import_params(state_of(case), config, (64, 64, 3))
    with jax.enable_x64(precision == "float64"):
        params = jax.tree.map(lambda x: jnp.asarray(x, precision), params)
        function = functools.partial(infer, case, config)
        if "gradients" in NUMBERS["cases"][name]:
            function = jax.value_and_grad(function, has_aux=True)
            (total, aux), gradient = jax.jit(function)(params)
        else:
            (total, aux), gradient = jax.jit(function)(params), None
        return jax.device_get((total, *aux, gradient))


def by_their_names(gradient, case):
    """A tree like our parameters, as arrays under their names: numbered entries are imported."""
    sizes = recipe.shapes(latent=case.latent)
    ends = np.cumsum([np.prod(shape) for shape in sizes.values()]).tolist()
    ids = {
        name: np.arange(end - np.prod(shape), end, dtype=np.float32).reshape(shape)
        for (name, shape), end in zip(sizes.items(), ends, strict=True)
    }
    places = import_params(state_of(case) | ids, model_config(case), (64, 64, 3))
    flat = np.full(ends[-1], np.nan)
    for place, leaf in zip(jax.tree.leaves(places), jax.tree.leaves(gradient), strict=True):
        flat[place.astype(int)] = leaf
    return {name: flat[array.astype(int)] for name, array in ids.items()}


def output_errors(name, precision="float64"):
    """Per output of a case, its largest error relative to its largest number."""
    case, theirs = recipe.CASES[name], NUMBERS["cases"][name]
    total, terms, result, _ = computed(name, precision)
    frames = result.frames
    masks, means = np.moveaxis(frames.masks, 1, 0)[0], np.moveaxis(frames.means, 1, 0)[0]
    checks = {
        "total": total,
        "masks": masks[:, :, ROWS, COLUMNS],
        "means": np.moveaxis(means[:, :, ROWS, COLUMNS], -1, 2),
        "mask_norms": np.linalg.norm(masks.reshape(len(masks), -1), axis=1),
        "h": result.last.time.h.reshape(-1, 128)[:, ::9],
    }
    if not case.simulated:
        checks |= {"nll": terms.state["nll"].mean()}
    expected = {key: np.reshape(theirs[key], np.shape(ours)) for key, ours in checks.items()}
    return {
        key: np.abs(ours - expected[key]).max() / np.abs(expected[key]).max()
        for key, ours in checks.items()
    }


def gradient_errors(name, precision="float64"):
    """Per parameter, the largest error of what is known of its gradient, relative to its norm."""
    case, theirs = recipe.CASES[name], NUMBERS["cases"][name]["gradients"]
    ours = by_their_names(dict(computed(name, precision)[3]), case)
    assert ours.keys() == theirs.keys()
    errors = {}
    for key, array in ours.items():
        norm, product, *entries = theirs[key]
        picked = array.ravel()[:: max(1, array.size // 3)][:3]
        found = [np.linalg.norm(array), (array * recipe.projection(key, array.shape)).sum()]
        errors[key] = np.abs(np.subtract([*found, *picked], [norm, product, *entries])).max() / norm
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe.CASES)
def test_it_computes_what_the_authors_implementation_computes(name):
    errors = output_errors(name)
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "train_binary"])
def test_every_parameter_has_the_gradient_of_the_authors_implementation(name):
    errors = gradient_errors(name)
    assert max(errors.values()) < 1e-5, sorted(errors.items(), key=lambda item: -item[1])[:8]


@pytest.mark.slow
def test_float32_keeps_five_digits():
    """Winograd's convolutions included, which are for float32 alone; measured: 2e-6."""
    errors = output_errors("simulate", "float32")
    assert max(errors.values()) < 1e-5, errors


# --- traps, at 8×8 --------------------------------------------------------------------------------

TINY = recipe.Case(batch=2, slots=3, evaluations=3, frames=4, simulated=1, entropy=True, latent=4)
SIZES = {"width": 6, "hidden": 7}
# So small that the ε of the layer norms counts.
WEIGHTS = {"beta": 0.01, "psi": 0.01, "gamma": 0.001}


def tiny_state():
    state = state_of(TINY, **SIZES, image=8)
    state["refine_net.convnet.model.0.weight"][:, 12] *= 10  # posterior masks, nearly uniform
    return state


@functools.cache
def tiny_outputs():
    """Results of the tiny case, in float64."""
    weights = {f"objective__{name}": value for name, value in WEIGHTS.items()}
    config = model_config(TINY, **SIZES, **weights)
    params = import_params(tiny_state(), config, (8, 8, 3))
    with jax.enable_x64(True), tiny.quick_compilation():
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
        function = jax.jit(functools.partial(infer, TINY, config, image=8))
        total, (_, result) = jax.device_get(function(params))
    h = result.last.time.h.reshape(-1, SIZES["hidden"])
    return {"total": total, "masks": result.frames.masks, "means": result.frames.means, "h": h}


def oracle_outputs(case, state, *, image=64, **options):
    return provide_oracle.run(state, case, *recipe.draw_inputs(case, image=image), **options)


def difference(mistake=None):
    """The largest difference of any output, relative to that output's size."""
    ours = tiny_outputs()
    theirs = oracle_outputs(TINY, tiny_state(), image=8, mistake=mistake, **WEIGHTS)
    return max(
        np.abs(array - theirs[name]).max() / np.abs(array).max() for name, array in ours.items()
    )


def test_it_equals_numpy():
    assert difference() < 1e-8


@pytest.mark.parametrize("mistake", provide_oracle.MISTAKES)
def test_it_makes_no_such_mistake(mistake):
    assert difference(mistake) > 1e-5


@pytest.mark.slow
def test_numpy_computes_what_the_authors_implementation_computes():
    case, theirs = recipe.CASES["simulate"], NUMBERS["cases"]["simulate"]
    ours = oracle_outputs(case, state_of(case), beta=100.0, psi=10.0, gamma=0.0)
    np.testing.assert_allclose(ours["total"], theirs["total"], rtol=1e-8)
    picked = ours["masks"][:, 0][:, :, ROWS, COLUMNS]
    np.testing.assert_allclose(picked.ravel(), theirs["masks"], rtol=1e-7)
    np.testing.assert_allclose(ours["h"][:, ::9].ravel(), theirs["h"], rtol=1e-6)
