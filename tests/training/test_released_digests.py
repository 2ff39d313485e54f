"""A released model that was changed is refused."""

import json

import jax
import numpy as np
import pytest

from stiid.training.released import Release, write_release
from stiid.training.state import TrainState

CONFIG = {"seed": 0, "lengths": (1, 2)}
PARAMS = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3) / 7}}


@pytest.fixture
def folder(tmp_path):
    write_release(tmp_path / "model", step=7, params=PARAMS, config=CONFIG)
    return tmp_path / "model"


def restore(folder):
    shapes = jax.eval_shape(lambda: PARAMS)
    template = TrainState(step=None, params=shapes, opt_state=None, key=None, skipped=None)
    release = Release(folder)
    return release, release.state(7, template)


def test_what_is_whole_is_restored(folder):
    release, state = restore(folder)
    assert release.config(7) == {"seed": 0, "lengths": [1, 2]}
    jax.tree.map(np.testing.assert_array_equal, state.params, PARAMS)


def test_other_numbers_are_refused(folder):
    """Even if the archive holds together."""
    kernel = PARAMS["layer"]["kernel"].copy()
    kernel.view(np.uint32)[1, 2] ^= 1 << 31  # the sign
    np.savez(folder / "params.npz", **{"layer/kernel": kernel})
    with pytest.raises(ValueError, match=r"params\.npz \(it is not what was released\)"):
        restore(folder)


@pytest.mark.parametrize("change", [{"step": 6}, {"config": {**CONFIG, "seed": 1}}])
def test_another_config_is_refused(folder, change):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"model\.json \(it is not what was released\)"):
        Release(folder)


def test_a_step_that_is_no_number_of_updates_is_refused(folder):
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"step": 7', '"step": -Infinity'))
    with pytest.raises(ValueError, match=r"cannot read .*model\.json \(cannot convert float"):
        Release(folder)
