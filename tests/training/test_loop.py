"""Logs, checkpoints and evaluations of a run, and reasons to stop."""

import dataclasses

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny
from PIL import Image

from stiid.cli import modes
from stiid.cli.decompose import Request
from stiid.training.checkpoints import Checkpoints
from stiid.training.interrupt import Interrupted
from stiid.training.log import MetricWriter
from stiid.training.loop import NonFiniteError, _seed


def test_log_has_every_step_once(trained):
    rows = [(row["step"], row["split"]) for row in tiny.log(trained)]
    splits = ("eval_2", "eval_4", "slots")
    evaluations = [(step, split) for step in (3, 6) for split in splits]
    assert sorted(rows) == sorted([(step, "train") for step in range(1, 7)] + evaluations)
    frames = [row["num_frames"] for row in tiny.log(trained) if row["split"] == "train"]
    assert frames == [2, 2, 2, 3, 3, 3]


def test_the_learning_rate_starts_again_in_each_stage(trained):
    """From 0.01 along half a cosine to 0.001 after three steps: cos(π/3) = 1/2."""
    rates = [row["learning_rate"] for row in tiny.log(trained) if row["split"] == "train"]
    assert rates == pytest.approx([0.01, 0.00775, 0.00325] * 2)


@pytest.mark.slow
def test_images_of_evaluations_are_in_tensorboard_too(data_dir, tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        MetricWriter, "write_image", lambda self, *args: shown.update({args[:2]: args[2]})
    )
    tiny.train(tiny.experiment(data_dir, train__eval_every=2), tmp_path)
    assert list(shown) == [(step, f"clips/0{i}") for step in (2, 3, 4, 6) for i in (0, 1)]
    for (step, tag), image in shown.items():
        with Image.open(tmp_path / "pictures" / f"step_{step:06d}_{tag[-2:]}.png") as file:
            np.testing.assert_array_equal(np.asarray(file.convert("RGB")), image)


def test_training_changes_every_parameter(trained):
    first, last = tiny.state(trained, str(trained / "checkpoints" / "3")), tiny.state(trained)
    assert (first.step, last.step, last.skipped) == (3, 6, 0)
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(first.params), jax.tree.leaves(last.params), strict=True
    )
    same = [jax.tree_util.keystr(path) for (path, a), b in pairs if np.array_equal(a, b)]
    assert not same
    tiny.assert_same(first.key, last.key)


WILD = {"learning_rate": 1e30, "final_learning_rate": 1e30}  # throws all parameters away


@pytest.mark.slow
def test_stop_at_a_non_finite_update(data_dir, tmp_path):
    """The loss and its gradient are finite, the new parameters are not: they are never saved."""
    experiment = tiny.experiment(data_dir, train__stages__stage_1__optim=WILD)
    with pytest.raises(NonFiniteError) as caught:
        tiny.train(experiment, tmp_path)
    message = str(caught.value)
    assert message.startswith("step 4: loss ")
    for part in ("norm of the new parameters inf", "update was not applied", "is step 3. Go on wi"):
        assert part in message
    state = tiny.state(tmp_path)
    assert int(state.step) == 3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


@pytest.mark.slow
def test_an_error_while_a_checkpoint_is_saved_does_not_lose_it(data_dir, tmp_path, monkeypatch):
    """The error comes right after the save was begun, in the background."""

    def save_and_fail(self, *args, **kwargs):
        save(self, *args, **kwargs)
        raise RuntimeError("the error")

    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", save_and_fail)
    experiment = tiny.experiment(data_dir, train__checkpoint_every=1)
    with pytest.raises(RuntimeError, match="the error"):
        tiny.train(experiment, tmp_path)
    monkeypatch.undo()
    assert int(tiny.state(tmp_path).step) == 1


@pytest.mark.slow
def test_a_failed_save_is_one_line(data_dir, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("No space left on device\nmore")

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    experiment = tiny.experiment(data_dir, train__checkpoint_every=1)
    with pytest.raises(
        OSError, match=r"cannot save a checkpoint in .* \(No space left on device\)"
    ):
        tiny.train(experiment, tmp_path)


@pytest.mark.parametrize(
    ("mode", "video"), [("eval", None), ("decompose", Request("stiid://sample"))]
)
def test_checkpoints_are_closed_whatever_happens(
    trained, data_dir, tmp_path, monkeypatch, mode, video
):
    opened, closed = [], []
    init, close = Checkpoints.__init__, Checkpoints.close

    def init_and_note(self, *args, **kwargs):
        init(self, *args, **kwargs)
        opened.append(self)

    def close_and_note(self):
        close(self)
        closed.append(self)

    monkeypatch.setattr(Checkpoints, "__init__", init_and_note)
    monkeypatch.setattr(Checkpoints, "close", close_and_note)
    experiment = tiny.experiment(data_dir, model__num_slots=4)
    with pytest.raises(ValueError, match=r"model\.num_slots is 3 there and 4 here"):
        modes.run(mode, experiment, workdir=str(tmp_path), checkpoint=str(trained), video=video)
    assert opened == closed != []


@pytest.mark.slow
def test_skip_non_finite_updates(data_dir, tmp_path):
    """All but ``step`` and ``skipped`` stay as they were, and so does what decides stagnation."""
    experiment = tiny.experiment(
        data_dir,
        train__non_finite="skip",
        train__max_skips=3,
        train__stagnation={**tiny.IMPATIENT, "window": 2},
        train__stages__stage_1__optim=WILD,
    )
    tiny.train(experiment, tmp_path)
    before, after = (tiny.state(tmp_path, str(tmp_path / "checkpoints" / n)) for n in ("3", "6"))
    assert (int(after.step), int(after.skipped), int(before.skipped)) == (6, 3, 0)
    tiny.assert_same((after.params, after.opt_state), (before.params, before.opt_state))
    rows = [row for row in tiny.log(tmp_path) if row["split"] == "train"]
    assert [row["skipped"] for row in rows] == [0, 0, 0, 1, 2, 3]


@pytest.mark.slow
def test_too_many_skips_in_a_row_stop(data_dir, tmp_path, signal_at):
    """Also when the run is resumed in between: the third is one too many."""
    changes = {"train__non_finite": "skip", "train__stages__stage_1__optim": WILD}
    experiment = tiny.experiment(data_dir, **changes)
    signal_at(5)
    with pytest.raises(Interrupted, match="after step 5"):
        tiny.train(experiment, tmp_path)
    with pytest.raises(NonFiniteError, match=r"step 6: .* number 3 in a row, more than train"):
        tiny.train(experiment, tmp_path)


def test_neighboring_seeds_share_no_stream_of_data():
    streams = {_seed(seed, stage) for seed in range(5) for stage in range(5)}
    assert len(streams) == 25


def test_the_seed_decides_everything(trained, data_dir, tmp_path):
    tiny.train(dataclasses.replace(tiny.experiment(data_dir), seed=1), tmp_path)
    ours, theirs = tiny.log(tmp_path), tiny.log(trained)
    assert all(a["total"] != b["total"] for a, b in zip(ours, theirs, strict=True) if "total" in a)
