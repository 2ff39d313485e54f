"""Oracle of a checkpoint: what was saved. No model is compiled here."""

import errno
import math
import os
import shutil
from unittest import mock

import jax
import numpy as np
import pytest
from small_checkpoints import CONFIG, make_data, make_state, save, template

from stiid.training.checkpoints import Checkpoints, RemovedError
from stiid.training.locate import locate


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
    with pytest.raises(OSError, match=r"\(the folder is gone.*\)\. The earlier ones were mo"):
        checkpoints.save(make_state(1), data=make_data(), progress={}, config=CONFIG)
    assert not (tmp_path / "run").exists()
    checkpoints.close()


@pytest.mark.parametrize(
    ("saved", "left"), [(False, "There is no earlier one"), (True, "Earlier ones are intact")]
)
def test_a_failed_save_says_what_is_left(tmp_path, monkeypatch, saved, left):
    with Checkpoints(tmp_path, best_metric="f_ari") as checkpoints:
        if saved:
            checkpoints.save(make_state(1), data=make_data(), progress={}, config=CONFIG)
            checkpoints.wait()
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        monkeypatch.setattr(checkpoints._manager, "save", mock.Mock(side_effect=full))
        with pytest.raises(OSError, match=rf"No space left.*\. {left}: make room, or use"):
            checkpoints.save(make_state(2), data=make_data(), progress={}, config=CONFIG)


def test_checkpoints_that_vanish_during_a_save_are_noticed(tmp_path, monkeypatch):
    """Orbax creates the folder again."""
    run = tmp_path / "run"
    with Checkpoints(run, best_metric="f_ari") as checkpoints:
        for step in (1, 2):
            checkpoints.save(make_state(step), data=make_data(), progress={}, config=CONFIG)
        checkpoints.wait()
        run.rename(tmp_path / "moved")
        run.mkdir()
        gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        monkeypatch.setattr(checkpoints._manager, "save", mock.Mock(side_effect=gone))
        with pytest.raises(OSError, match=r"\. The earlier ones were moved or deleted: "):
            checkpoints.save(make_state(3), data=make_data(), progress={}, config=CONFIG)


def test_a_folder_that_a_save_made_again_is_not_the_run(tmp_path):
    """After a move during a save in the background the next save refuses."""
    run = tmp_path / "run"
    with Checkpoints(run, best_metric="f_ari") as checkpoints:
        checkpoints.save(make_state(1), data=make_data(), progress={}, config=CONFIG)
        checkpoints.wait()
        shutil.copytree(run, tmp_path / "again")
        run.rename(tmp_path / "moved")
        (tmp_path / "again").rename(run)
        with pytest.raises(OSError, match=r"is gone: .*The earlier ones were moved or deleted"):
            checkpoints.save(make_state(2), data=make_data(), progress={}, config=CONFIG)


def test_closing_does_not_replace_the_error_under_way(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("cannot save")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "wait", fail)
        with pytest.raises(RuntimeError, match="the error"), Checkpoints(tmp_path):
            raise RuntimeError("the error")
        with pytest.raises(OSError, match="cannot save"), Checkpoints(tmp_path):
            pass


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
