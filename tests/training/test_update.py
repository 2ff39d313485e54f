"""Oracle: the update in one part. The model is one number, so all results are worked by hand."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from stiid import parallel
from stiid.cli.modes import batch_sizes
from stiid.config.optimizer import schedule
from stiid.training.compatibility import check_same, training_fields
from stiid.training.update import (
    Updates,
    gradients,
    init_state,
    learning_rates,
    make_update,
)
from stiid.typed_config import to_dict


class Terms(NamedTuple):
    total: jax.Array
    statistics: dict[str, jax.Array]


class Scale:
    """Loss (w · brightness + noise)² of a video, and, as batch norm has it, a term of its batch."""

    def loss(self, params, video, keys):
        noise = jax.vmap(jax.random.normal)(keys)
        brightness = video.astype(jnp.float32).mean((1, 2, 3, 4)) / 255.0
        batch = jnp.broadcast_to(brightness.mean(), brightness.shape)
        total = (params["w"] * brightness + noise) ** 2
        return Terms(total, {"mean": batch, "square": batch**2})


@pytest.fixture
def case():
    video = np.random.default_rng(0).integers(0, 256, (6, 2, 4, 4, 1), np.uint8)
    keys = jax.random.split(jax.random.key(0), 6)
    return {"w": jnp.float32(1.5)}, video, keys


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_parts_have_the_gradient_and_terms_of_the_whole(case, parts):
    grads, terms = gradients(Scale(), *case, parts=parts)
    expected, of_whole = gradients(Scale(), *case, parts=1)
    np.testing.assert_allclose(grads["w"], expected["w"], rtol=1e-6)
    np.testing.assert_allclose(terms.total, of_whole.total, rtol=1e-6)
    np.testing.assert_allclose(terms.statistics["mean"], of_whole.statistics["mean"], rtol=1e-6)


def test_parts_are_what_devices_are_to_terms_of_a_batch(case):
    """What is not a mean over rows, such as batch norm has it, is a mean over the parts."""
    params, video, keys = case
    _, terms = gradients(Scale(), *case, parts=2)
    halves = [
        gradients(Scale(), params, video[half], keys[half], parts=1)[1].statistics["square"]
        for half in (slice(0, 6, 2), slice(1, 6, 2))
    ]
    assert halves[0] != halves[1]
    np.testing.assert_allclose(terms.statistics["square"], np.mean(halves), rtol=1e-6)


def exchanges(compiled):
    """Number of collectives of a compiled program."""
    text = compiled.as_text()
    return text.count(" all-reduce(") + text.count(" all-reduce-start(")


def test_devices_exchange_once():
    """However many arrays there are, and the mean is right."""

    def function(x):
        return parallel.all_mean({"a": x.sum(), "b": (x, {"c": x[:, :1] ** 2})})

    step = parallel.data_parallel(function, batch_args=(0,), num_args=1)
    x = np.random.default_rng(0).normal(size=(8, 3, 2)).astype(np.float32)
    mean = step(x)
    np.testing.assert_allclose(mean["a"], x.sum((1, 2)).mean(), rtol=1e-5)
    np.testing.assert_allclose(mean["b"][0], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(mean["b"][1]["c"], (x[:, :, :1] ** 2).mean(0), rtol=1e-5)
    assert exchanges(step.lower(x).compile()) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_an_update_in_parts_is_the_same_update(data_dir, use_devices):
    """On two devices: parameters, moments and metrics, from one exchange each."""
    use_devices(2)
    video = np.random.default_rng(0).integers(0, 256, (8, 2, 8, 8, 3), np.uint8)
    rows = parallel.shard(parallel.global_rows(8))
    results = []
    for parts in (1, 2):
        changes = {"train__stages__stage_0__micro_batches": parts}
        rates = {"optim__learning_rate": 3e-4, "optim__final_learning_rate": 3e-4}
        experiment = tiny.experiment(data_dir, **changes, **rates).at_stage("stage_0")
        system = experiment.model.build((8, 8, 3))
        state = parallel.replicate(jax.jit(lambda e=experiment, s=system: init_state(e, s))())
        rate = learning_rates(experiment)[0]
        arguments = (state, parallel.shard(video), rows, rate)
        lowered = make_update(experiment, system).lower(*arguments)
        compiled = lowered.compile()
        assert exchanges(compiled) == 1
        state, metrics = compiled(*arguments)
        results.append(jax.device_get((state.opt_state, metrics, state.params)))

    def close(a, b, *, atol):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol), a, b)

    close(results[1][:2], results[0][:2], atol=1e-6)
    # Adam turns the rounding of a gradient that is nearly zero into a part of a step of 3e-4.
    close(results[1][2], results[0][2], atol=3e-5)


def test_stages_that_differ_in_rates_and_steps_share_an_update(data_dir):
    stages = {
        "stage_0": {"num_frames": 2},
        "stage_1": {"steps": 5, "optim": {"final_learning_rate": 1e-4, "warmup_steps": 2}},
        "stage_2": {"optim": {"clip_norm": 1.0}},
        "stage_3": {"model": {"objective": {"psi": 0.1}}, "optim": {"clip_norm": 1.0}},
        "stage_4": {"model": {"objective": {"psi": 0.1}}, "micro_batches": 2},
    }
    base = tiny.CONFIG["train"]["stages"]["stage_0"]
    whole = tiny.experiment(data_dir, train__stages={k: base | v for k, v in stages.items()})
    updates, found = Updates(), []
    for name in stages:
        experiment = whole.at_stage(name)
        found.append(updates(experiment, experiment.model.build((8, 8, 3))))
    assert [found.index(update) for update in found] == [0, 0, 2, 3, 4]


def test_rates_of_a_stage_are_those_of_its_schedule(data_dir):
    """Bit by bit those that an update would compute from the number of its step."""
    optim = {"warmup_steps": 3, "final_learning_rate": 1e-4}
    changes = {"train__stages__stage_1__steps": 17, "train__stages__stage_1__optim": optim}
    experiment = tiny.experiment(data_dir, **changes).at_stage("stage_1")
    one = jax.jit(schedule(experiment.optim, steps=17))
    expected = [float(one(np.int32(step))) for step in range(17)]
    assert learning_rates(experiment).tolist() == expected
    assert expected[2] == np.float32(1e-2)
    still = tiny.experiment(data_dir, train__stages__stage_0__steps=0).at_stage("stage_0")
    assert learning_rates(still).shape == (0,)


def test_micro_batches_are_as_many_as_split_the_rows_of_a_device(data_dir):
    experiment = tiny.experiment(data_dir, train__stages__stage_1__micro_batches=4)
    stage = experiment.train.stages["stage_1"]
    assert [stage.parts(rows) for rows in (1, 2, 3, 4, 5, 6, 8)] == [1, 2, 3, 4, 1, 3, 4]
    assert batch_sizes("train", experiment, None, "latest") == [8, 8, 8]
    with pytest.raises(ValueError, match="micro_batches must be at least 1"):
        tiny.experiment(data_dir, train__stages__stage_1__micro_batches=0)


def test_a_resumed_run_may_change_its_micro_batches(data_dir, tmp_path):
    stored = to_dict(tiny.experiment(data_dir))
    split = tiny.experiment(data_dir, train__stages__stage_0__micro_batches=2)
    check_same(training_fields(split), split, stored, where=tmp_path)
