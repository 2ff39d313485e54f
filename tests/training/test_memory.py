"""Sizes that cannot fit are refused; nothing is allocated here."""

import jax
import jax.numpy as jnp
import pytest
import tiny

from stiid.training import memory


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data__options": {**tiny.CONFIG["data"]["options"], "resolution": 10**6}},
            r"train\.stages\.stage_0: 16 frames of 1000000x1000000 pixels and 3 slots take",
        ),
        (
            {"evaluate__batch_size": 8 * 10**12},
            r"evaluate: 32000000000000 frames of 8x8 pixels",
        ),
    ],
)
def test_frames_that_fit_no_machine_are_refused(data_dir, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny.train(tiny.experiment(data_dir, **changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_latents_that_fit_no_machine_are_refused(data_dir, tmp_path):
    experiment = tiny.experiment(data_dir, model__latent_size=10**12)
    with pytest.raises(ValueError, match=r"config\.model"):
        tiny.train(experiment, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_fits_is_let_through(data_dir, monkeypatch):
    memory.check_memory(tiny.experiment(data_dir))
    shapes = jax.eval_shape(lambda: jnp.zeros((1024, 1024)))
    memory.check_state(shapes)
    monkeypatch.setattr(memory, "physical_memory", lambda: 4 * 2**20 - 1)
    with pytest.raises(ValueError, match=r"parameters .* 1048576 numbers, take at least 0\.0 GiB"):
        memory.check_state(shapes)
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    memory.check_state(shapes)
