"""Checkpoints that are damaged or unfinished: found, and named."""

import contextlib
import random
import re
import shutil
import time

import jax
import numpy as np
import pytest
from small_checkpoints import CONFIG, make_data, template

from stiid.training.checkpoints import Checkpoints
from stiid.training.digest import change_json


def test_an_unfinished_checkpoint_does_not_count(saved, tmp_path):
    """A killed process leaves a folder that was not renamed yet; the next one removes it."""
    shutil.copytree(saved, tmp_path / "run")
    (tmp_path / "run" / "6.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "run" / "6.orbax-checkpoint-tmp" / "state").mkdir()
    reader = Checkpoints(tmp_path / "run")
    assert reader.choose("latest") == 5
    reader.close()
    writer = Checkpoints(tmp_path / "run", best_metric="f_ari")
    assert writer.steps() == [2, 4, 5]
    writer.close()
    deadline = time.monotonic() + 60  # Orbax cleans up in a thread
    while (left := sorted(path.name for path in (tmp_path / "run").iterdir())) != ["2", "4", "5"]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.parametrize("item", ["state", "config"])
def test_a_damaged_checkpoint_is_named(saved, tmp_path, item):
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    for path in (run / "5" / item).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    checkpoints = Checkpoints(run)
    message = rf"checkpoint 5 in {re.escape(str(run))}: cannot read its {item} \("
    with pytest.raises(ValueError, match=message) as caught:
        checkpoints.state(5, template()) if item == "state" else checkpoints.config(5)
    assert "\n" not in str(caught.value)
    assert checkpoints.config(4) == CONFIG
    checkpoints.close()


def test_damaged_scores_are_named(saved, tmp_path):
    """And so is a config that says of no score that it is the best."""
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    (path,) = (run / "2" / "metrics").rglob("metrics")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot read the scores of .*/run \(.*\): move the"):
        Checkpoints(run)
    path.write_bytes(whole)
    change_json(run / "5", "config", {})
    with (
        Checkpoints(run) as checkpoints,
        pytest.raises(ValueError, match=r"checkpoint 5 in .*: cannot read its config \('train'\)"),
    ):
        checkpoints.choose("best")


def read_all(directory, step):
    """Everything of a checkpoint, as plain values."""
    with Checkpoints(directory) as checkpoints:
        data = make_data()
        checkpoints.restore_data(step, data)
        state = checkpoints.state(step, template())
        return (
            jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key))),
            checkpoints.progress(step),
            checkpoints.config(step),
            data.get_state(),
            checkpoints.best_step(),
        )


@pytest.mark.slow
# When several arrays are read together, others arrive after the error was reported.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_flipped_bit_is_found_or_changes_nothing(saved, tmp_path):
    """Anywhere in the files of a checkpoint; some bits are of no consequence."""
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    expected = read_all(run, 2)
    files = [path for path in (run / "2").rglob("*") if path.is_file() and path.stat().st_size]
    chance, found = random.Random(0), 0
    for _ in range(40):
        path = chance.choice(files)
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with contextlib.suppress(ValueError, OSError):
            found += 1
            jax.tree.map(np.testing.assert_array_equal, read_all(run, 2), expected)
            found -= 1
        path.write_bytes(whole)
    assert found > 4
    jax.tree.map(np.testing.assert_array_equal, read_all(run, 2), expected)


def test_what_is_not_what_was_saved_names_the_next_older(saved, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    path = run / "5" / "progress" / "metadata"
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with Checkpoints(run) as checkpoints:
        message = (
            r"checkpoint 5 in .* is damaged: its progress differs .* then checkpoint 4 is used"
        )
        with pytest.raises(ValueError, match=message):
            checkpoints.progress(5)
        checkpoints.state(5, template())  # which is whole
        change_json(run / "2", "config", {})
        (run / "2" / "config" / "metadata").write_text("{ }")
        assert checkpoints.config(2) == {}  # spaces are no damage
        (run / "2" / "config" / "metadata").write_text('{"a": 1}')
        with pytest.raises(ValueError, match=r"its config differs .* there is no older checkpoint"):
            checkpoints.config(2)


def test_checkpoints_without_digests_are_read(saved, tmp_path):
    """Versions before wrote them."""
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    for digests in run.glob("*/digests"):
        shutil.rmtree(digests)
    jax.tree.map(np.testing.assert_array_equal, read_all(run, 5), read_all(saved, 5))
    change_json(run / "5", "config", {"a": 1})
    with Checkpoints(run) as checkpoints:
        assert checkpoints.config(5) == {"a": 1}


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("Permission denied", "this user the permission"),
        ("No space left on device", "make room"),
    ],
)
def test_rights_and_limits_are_no_damage(saved, monkeypatch, words, advice):
    def fail(*args, **kwargs):
        raise ValueError(f"{words} [OS error]")

    with Checkpoints(saved) as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "restore", fail)
        with pytest.raises(ValueError, match=advice) as caught:
            checkpoints.config(5)
    assert "Move that folder" not in str(caught.value)
