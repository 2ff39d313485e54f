"""Oracle: one device. Devices and processes change only where rows are computed."""

import subprocess

import jax
import numpy as np
import pytest
import tiny
from devices_case import three_updates

from stiid import parallel
from stiid.models.base import row_keys

# Full convolutions, whose gradients are our own on CPU.
WIDE = {
    "model__decoder": {**tiny.CONFIG["model"]["decoder"], "kernel_size": 3, "layers": 2},
    "model__refiner": {**tiny.CONFIG["model"]["refiner"], "stride": 1, "pool": "average"},
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "counts"), [({}, (1, 2, 8)), (WIDE, (1, 8))])
def test_devices_change_nothing(data_dir, use_devices, changes, counts):
    rates = {"optim__learning_rate": 3e-4, "optim__final_learning_rate": 3e-4}
    experiment = tiny.experiment(data_dir, **changes, **rates)
    results = {}
    with tiny.quick_compilation():
        for count in counts:
            use_devices(count)
            results[count] = three_updates(experiment)
    trained, losses = results[1]
    assert losses[0] != losses[1]
    for count in counts[1:]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5),
            results[count][0],
            trained,
        )
        np.testing.assert_allclose(results[count][1], losses, rtol=1e-5)


def test_noise_of_a_row_depends_on_its_number_only():
    """Two processes with one row each sample the noise of one process with two rows."""
    keys = row_keys(jax.random.key(3), np.arange(4))
    alone = row_keys(jax.random.key(3), np.array([2]))
    np.testing.assert_array_equal(jax.random.key_data(keys[2:3]), jax.random.key_data(alone))
    assert len({tuple(np.asarray(data)) for data in jax.random.key_data(keys)}) == 4


@pytest.mark.slow
def test_a_run_compiles_one_update_per_length_and_one_evaluation(data_dir, tmp_path):
    """A third stage, which differs from the second in its rates and steps, compiles nothing."""
    stages = dict(tiny.CONFIG["train"]["stages"])
    rates = {"learning_rate": 1e-3, "final_learning_rate": 1e-4}
    stages["stage_2"] = {**stages["stage_1"], "steps": 2, "optim": rates}
    experiment = tiny.experiment(data_dir, train__stages=stages, train__eval_every=1)
    with tiny.compiled_programs() as names:
        tiny.train(experiment, tmp_path)
    # This is what pmap calls the functions it compiles: two lengths and all evaluations.
    assert names.count("_fun") == 3
    logged = [row["learning_rate"] for row in tiny.log(tmp_path) if row["split"] == "train"]
    assert logged[-2:] == pytest.approx([1e-3, 5.5e-4])


def test_processes_change_nothing(trained, data_dir, tmp_path, free_address):
    arguments = [f"--coordinator={free_address}", "--num_processes=2", "--host_devices=2"]
    processes = [
        subprocess.Popen(
            [*tiny.command(data_dir, tmp_path / "run", *arguments), f"--process_id={i}"],
            cwd=tiny.ROOT,
            env=tiny.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [process.communicate(timeout=900) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "wrote" in outputs[0][0]
    assert "wrote" not in outputs[1][0]  # process 0 alone speaks and writes

    ours, theirs = tiny.state(tmp_path / "run"), tiny.state(trained)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5),
        ours.params,
        theirs.params,
    )
    for length, scores in tiny.scores(trained)["lengths"].items():
        assert tiny.scores(tmp_path / "run")["lengths"][length] == pytest.approx(scores, abs=1e-5)
    ours, theirs = tiny.log(tmp_path / "run"), tiny.log(trained)
    assert [(row["step"], row["split"]) for row in ours] == [
        (row["step"], row["split"]) for row in theirs
    ]
    assert [row["total"] for row in ours if "total" in row] == pytest.approx(
        [row["total"] for row in theirs if "total" in row], rel=1e-5
    )


@pytest.mark.parametrize("count", [1, 8])
def test_shard_and_unshard_are_inverse(use_devices, count):
    use_devices(count)
    rows = np.arange(16 * 3).reshape(16, 3)
    shards = parallel.shard(rows)
    assert shards.shape == (count, 16 // count, 3)
    np.testing.assert_array_equal(parallel.unshard(shards), rows)


def test_batch_must_be_a_multiple_of_the_devices():
    parallel.check_batch_size(16, name="batch")
    with pytest.raises(ValueError, match=r"batch = 12 must be a multiple of .* \(8\)"):
        parallel.check_batch_size(12, name="batch")


def test_arrays_without_numbers_are_joined_too():
    assert parallel.unshard(np.zeros((2, 3, 5, 0))).shape == (6, 5, 0)
