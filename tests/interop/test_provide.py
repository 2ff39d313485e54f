"""The authors' implementation: its numbers, its files, and mistakes that a port could make.

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
import provide_recipe as recipe
import pytest

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
    """The recipe's draws as the engine takes them: [T, R + 1, B, K, D]."""
    shape = (case.frames + case.simulated, case.evaluations, case.batch, case.slots, case.latent)
    ours, draws = np.zeros(shape, noise.dtype), iter(noise.reshape(len(noise), *shape[2:]))
    ours[0, 0] = next(draws)
    for t, count in enumerate(case.counts):
        for j in range(1, count):
            ours[t, j] = next(draws)
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
def computed(name):
    """A case as the engine computes it in float64, and the gradient where there are numbers."""
    case = recipe.CASES[name]
    config = model_config(case)
    params = import_params(state_of(case), config, (64, 64, 3))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)
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


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe.CASES)
def test_it_computes_what_the_authors_implementation_computes(name):
    case, theirs = recipe.CASES[name], NUMBERS["cases"][name]
    total, terms, result, _ = computed(name)
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
    for key, ours in checks.items():
        expected = np.reshape(theirs[key], np.shape(ours))
        error = np.abs(ours - expected).max() / np.abs(expected).max()
        assert error < 1e-6, (key, error)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "train_binary"])
def test_every_parameter_has_the_gradient_of_the_authors_implementation(name):
    case, theirs = recipe.CASES[name], NUMBERS["cases"][name]["gradients"]
    ours = by_their_names(dict(computed(name)[3]), case)
    assert ours.keys() == theirs.keys()
    errors = {}
    for key, array in ours.items():
        norm, product, *entries = theirs[key]
        picked = array.ravel()[:: max(1, array.size // 3)][:3]
        found = [np.linalg.norm(array), (array * recipe.projection(key, array.shape)).sum()]
        errors[key] = np.abs(np.subtract([*found, *picked], [norm, product, *entries])).max() / norm
    assert max(errors.values()) < 1e-5, sorted(errors.items(), key=lambda item: -item[1])[:8]
