"""Oracle of a checkpoint: what was saved. No model is compiled here."""

import contextlib
import math
import random
import re
import shutil
import time

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiid.training.checkpoints import Checkpoints, RemovedError
from stiid.training.digest import change_json
from stiid.training.locate import locate
from stiid.training.state import TrainState

CONFIG = {"train": {"best_metric": "f_ari"}, "lengths": [1, 2]}


def make_state(step, *, width=3):
    return TrainState(
        step=jnp.int32(step),
        params={"layer": {"kernel": jnp.arange(2.0 * width).reshape(2, width) / 7 + step}},
        opt_state=(jnp.float32(step), {"mu": jnp.full((width,), 1e-30)}),
        key=jax.random.key(step),
        skipped=jnp.int32(1),
    )


def make_data():
    return iter(grain.MapDataset.range(100).to_iter_dataset())


def template(**options):
    return jax.eval_shape(lambda: make_state(0, **options))


def save(directory, scores, *, best_metric="f_ari"):
    """Checkpoints 1, 2, … with these F-ARI or scores (None: not evaluated)."""
    checkpoints = Checkpoints(directory, best_metric=best_metric)
    data = make_data()
    for step, score in enumerate(scores, 1):
        next(data)
        checkpoints.save(
            make_state(step),
            data=data,
            progress={"stage": step, "loss": 0.1},
            config={**CONFIG, "train": {"best_metric": best_metric}},
            metrics={"f_ari": score, "mse": -score} if isinstance(score, float) else score,
        )
    checkpoints.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    save(directory, [0.1, 0.9, 0.5, None, None])
    return directory


def test_everything_comes_back_bit_by_bit(saved):
    checkpoints = Checkpoints(saved)
    state, expected = checkpoints.state(5, template()), make_state(5)
    keys = [jax.random.key_data(x.key) for x in (state, expected)]
    np.testing.assert_array_equal(*keys)
    plain = [x.replace(key=None) for x in (state, expected)]
    jax.tree.map(np.testing.assert_array_equal, *plain)
    assert jax.tree.map(lambda x: x.dtype, plain[0]) == jax.tree.map(lambda x: x.dtype, plain[1])
    assert checkpoints.progress(5) == {"stage": 5, "loss": 0.1}
    assert checkpoints.config(5) == CONFIG
    data = make_data()
    checkpoints.restore_data(5, data)
    assert next(data) == 5
    checkpoints.close()


def test_the_latest_two_and_the_best_are_kept(saved):
    checkpoints = Checkpoints(saved)
    assert checkpoints.steps() == [2, 4, 5]
    assert [checkpoints.choose(name) for name in ("latest", "best", "4")] == [5, 2, 4]
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 3 in .*, only \[2, 4, 5\]"):
        checkpoints.choose("3")
    checkpoints.close()


def test_of_errors_the_smallest_is_the_best(tmp_path):
    errors = (0.3, 0.1, 0.2)
    scores = [{"f_ari": f_ari, "mse": mse} for f_ari, mse in zip((0, 0, 1), errors, strict=True)]
    save(tmp_path, [*scores, None, None], best_metric="mse")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.choose("best") == 2
    checkpoints.close()


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    save(tmp_path, [math.nan, 0.2, math.nan, math.inf, None])
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.choose("best") == 2
    checkpoints.close()


def test_checkpoints_from_before_a_score_was_known_are_not_the_best(tmp_path):
    """Masks that came later: f_ari is to tell which is the best, where only the MSE was stored."""
    save(tmp_path, [{"mse": 0.1}, {"mse": 0.2}, {"mse": 0.3, "f_ari": 0.1}, {"f_ari": 0.0}, None])
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [3, 4, 5]
    assert checkpoints.choose("best") == 3
    checkpoints.close()


def test_best_without_any_evaluation_is_the_latest(tmp_path):
    save(tmp_path, [None, None])
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.choose("best") == 2
    checkpoints.close()


def test_a_step_is_saved_once(tmp_path):
    save(tmp_path, [None])
    checkpoints = Checkpoints(tmp_path, best_metric="f_ari")
    checkpoints.save(
        make_state(1, width=4), data=make_data(), progress={}, config=CONFIG, metrics=None
    )
    assert checkpoints.state(1, template()).params["layer"]["kernel"].shape == (2, 3)
    checkpoints.close()


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
# Of arrays that are read together, the others arrive when the error is told already.
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
        message = r"checkpoint 5 in .* is damaged: its progress is not .* checkpoint 4 is used then"
        with pytest.raises(ValueError, match=message):
            checkpoints.progress(5)
        checkpoints.state(5, template())  # which is whole
        change_json(run / "2", "config", {})
        (run / "2" / "config" / "metadata").write_text("{ }")
        assert checkpoints.config(2) == {}  # spaces are no damage
        (run / "2" / "config" / "metadata").write_text('{"a": 1}')
        with pytest.raises(ValueError, match=r"its config is not .* there is no older checkpoint"):
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


def test_a_checkpoint_that_a_running_training_removes(saved, tmp_path):
    """Who reads beside it takes the newer one; a number stays a number."""
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    with Checkpoints(run) as checkpoints:
        assert checkpoints.choose("latest") == 5
        shutil.rmtree(run / "4")
        (run / "5").rename(run / "6")
        with pytest.raises(RemovedError, match=r"checkpoint 5 in .* was removed while it was read"):
            checkpoints.config(5)
        assert checkpoints.choose_again() == 6
        assert checkpoints.config(6) == CONFIG
    with Checkpoints(run) as checkpoints:
        assert checkpoints.choose("2") == 2
        shutil.rmtree(run / "2")
        with pytest.raises(FileNotFoundError, match=r"no checkpoint 2 in .*, only \[6\]"):
            checkpoints.choose_again()


def test_a_folder_that_vanishes_is_noticed(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", best_metric="f_ari")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(OSError, match=r"cannot save a checkpoint in .* \(the folder is gone"):
        checkpoints.save(make_state(1), data=make_data(), progress={}, config=CONFIG)
    assert not (tmp_path / "run").exists()
    checkpoints.close()


def test_closing_does_not_replace_the_error_under_way(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("cannot save")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "wait", fail)
        with pytest.raises(RuntimeError, match="the error"), Checkpoints(tmp_path):
            raise RuntimeError("the error")
        with pytest.raises(OSError, match="cannot save"), Checkpoints(tmp_path):
            pass


@pytest.mark.parametrize(
    ("words", "advice"),
    [("Permission denied", "give this user the right"), ("No space left on device", "make room")],
)
def test_rights_and_limits_are_no_damage(saved, monkeypatch, words, advice):
    def fail(*args, **kwargs):
        raise ValueError(f"{words} [OS error]")

    with Checkpoints(saved) as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "restore", fail)
        with pytest.raises(ValueError, match=advice) as caught:
            checkpoints.config(5)
    assert "Move that folder" not in str(caught.value)


def test_another_shape_is_named(saved):
    checkpoints = Checkpoints(saved)
    with pytest.raises(ValueError, match=r"kernel.* has shape \(2, 3\) there and \(2, 4\) here"):
        checkpoints.state(5, template(width=4))
    checkpoints.close()


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoints at .*: train there first"):
        Checkpoints(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        locate(tmp_path, str(tmp_path / "nowhere"))
    empty = Checkpoints(tmp_path)
    with pytest.raises(FileNotFoundError, match="no complete checkpoint in"):
        empty.choose("latest")
    empty.close()


def test_every_way_to_name_a_checkpoint(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    (folder / "12" / "config").mkdir(parents=True)
    here = tmp_path / "here"
    assert locate(here, "latest") == (here / "checkpoints", "latest")
    assert locate(here, "best") == (here / "checkpoints", "best")
    assert locate(here, str(tmp_path / "run")) == (folder, "latest")
    assert locate(here, str(folder)) == (folder, "latest")
    assert locate(here, str(folder / "12")) == (folder, "12")
    (tmp_path / "2024").mkdir()  # a run that is not trained yet
    assert locate(here, str(tmp_path / "2024")) == (tmp_path / "2024", "latest")


def test_a_released_model_is_named(tmp_path, monkeypatch):
    (tmp_path / "balls" / "7").mkdir(parents=True)
    (tmp_path / "solids").mkdir()
    (tmp_path / "README.md").touch()
    monkeypatch.setattr("stiid.training.locate.RELEASES", tmp_path)
    assert locate(tmp_path / "here", "stiid://balls") == (tmp_path / "balls", "latest")
    for wrong in ("stiid://", "stiid://ball", "stiid://balls/7", "stiid://..", "stiid://README.md"):
        with pytest.raises(FileNotFoundError, match="only stiid://balls, stiid://solids"):
            locate(tmp_path, wrong)
