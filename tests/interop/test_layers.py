"""What importers share, and SqueezeNet's own file."""

import jax
import numpy as np
import provide_recipe as recipe
import pytest
import tiny

from stiid.interop.layers import without_module
from stiid.interop.squeezenet import is_squeezenet, with_squeezenet
from stiid.models.spatiotemporal.config import SpatioTemporalConfig

SHAPE = (8, 8, 3)


def test_the_prefix_of_data_parallel_is_dropped_if_all_have_it():
    state = {"module.a": np.zeros(1), "module.b": np.ones(1)}
    assert list(without_module(state)) == ["a", "b"]
    mixed = state | {"c": np.zeros(1)}
    assert without_module(mixed) is mixed
    assert without_module({}) == {}


def config(**refiner):
    refiner = {"squeezenet": True, "features": 4, "hidden": 5, "lstm_features": 6, **refiner}
    sizes = {"decoder": {"features": 4, "layers": 1}, "latent_size": 3, "num_slots": 2}
    return SpatioTemporalConfig(**sizes, refiner={**refiner, "layers": 1})


def torchvision():
    """The layers of the recipe's state under the names of torchvision, and two that follow."""
    params = recipe.draw_params(latent=3)
    state = {
        name.replace(recipe.BACKBONE, "features."): array
        for name, array in params.items()
        if name.startswith(recipe.BACKBONE)
    }
    return state | {"features.6.squeeze.weight": np.zeros((32, 128, 1, 1)), "classifier.1.bias": 0}


@pytest.mark.slow
def test_squeezenet_is_read_and_everything_else_is_fresh():
    state, key = torchvision(), jax.random.key(5)
    assert is_squeezenet(state)
    assert not is_squeezenet(recipe.draw_params(latent=3))
    params = with_squeezenet(state, config(), SHAPE, key)
    fresh = jax.tree.map(np.asarray, config().build(SHAPE).init(key))
    read = params["refiner"].pop("squeezenet")
    drawn = fresh["refiner"].pop("squeezenet")
    tiny.assert_same(params, fresh)
    tiny.assert_same(
        {k: v for k, v in read.items() if k.startswith("head")},
        {k: v for k, v in drawn.items() if k.startswith("head")},
    )
    kernel = read["fire_1"]["expand3x3"]["kernel"]
    np.testing.assert_array_equal(
        kernel, state["features.4.expand3x3.weight"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(read["conv"]["bias"], state["features.0.bias"])


def test_files_that_do_not_fit_are_rejected():
    state = torchvision()
    with pytest.raises(ValueError, match=r"--config.model.refiner.squeezenet=True"):
        with_squeezenet(state, config(squeezenet=False), SHAPE, jax.random.key(0))
    del state["features.3.squeeze.weight"]
    with pytest.raises(ValueError, match=r"missing \['features.3.squeeze'\]"):
        with_squeezenet(state, config(), SHAPE, jax.random.key(0))
