"""Oracle of each interruption: an uninterrupted run, bit by bit."""

import shutil
import signal

import pytest
import tiny

from stiid.evaluation.evaluator import Evaluator
from stiid.training.interrupt import Interrupted

# Windows of one step: a stage ends as soon as there are two losses to compare.
STAGES = ("stage_0", "stage_1")


def assert_same_run(ours, theirs):
    tiny.assert_same(tiny.state(ours), tiny.state(theirs))
    assert tiny.log(ours) == tiny.log(theirs)
    assert tiny.scores(ours) == tiny.scores(theirs)


@pytest.mark.parametrize(
    ("step", "number"), [(2, signal.SIGUSR1), (3, signal.SIGINT), (4, signal.SIGHUP)]
)
def test_resuming_after_a_signal_is_exact(trained, data_dir, tmp_path, signal_at, step, number):
    """In the middle of the first stage, at its end, and in the second."""
    experiment = tiny.experiment(data_dir)
    signal_at(step, number)
    with pytest.raises(Interrupted, match=f"{number.name} after step {step}, ") as caught:
        tiny.train(experiment, tmp_path)
    assert caught.value.number == number
    assert int(tiny.state(tmp_path).step) == step
    tiny.train(experiment, tmp_path)
    assert_same_run(tmp_path, trained)


def test_resuming_from_an_earlier_checkpoint_repeats_the_rest(trained, data_dir, tmp_path):
    """As after a kill: the log is ahead of the checkpoint, and its last line is torn."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    shutil.rmtree(run / "checkpoints" / "6")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "spl')
    tiny.train(tiny.experiment(data_dir), run)
    assert_same_run(run, trained)


def test_resuming_in_the_middle_of_a_stage_that_went_on_is_exact(trained, data_dir, tmp_path):
    """As after a kill: the last checkpoint is that of step 5, and the log knows step 6."""
    run = tmp_path / "run"
    experiment = tiny.experiment(data_dir, train__checkpoint_every=1)
    tiny.train(experiment, run)
    shutil.rmtree(run / "checkpoints" / "6")
    assert (run / "checkpoints" / "5").is_dir()
    (run / "eval" / "metrics.json").unlink()
    tiny.train(experiment, run)
    tiny.assert_same(tiny.state(run), tiny.state(trained))
    assert tiny.log(run) == tiny.log(trained)
    assert tiny.scores(run)["lengths"] == tiny.scores(trained)["lengths"]


def test_a_signal_during_an_evaluation_is_obeyed_after_it(trained, data_dir, tmp_path, monkeypatch):
    def evaluate_and_signal(self, params):
        signal.raise_signal(signal.SIGTERM)
        return evaluate(self, params)

    evaluate = Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", evaluate_and_signal)
    experiment = tiny.experiment(data_dir)
    with pytest.raises(Interrupted, match="SIGTERM after step 3, "):
        tiny.train(experiment, tmp_path)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert {row["split"] for row in tiny.log(tmp_path)} == {"train", "eval_2", "eval_4", "slots"}
    tiny.train(experiment, tmp_path)
    assert_same_run(tmp_path, trained)


@pytest.mark.slow
def test_resuming_with_patience_is_exact(data_dir, tmp_path, monkeypatch, signal_at):
    """Held-out losses made up: the second is no better, so each stage ends at its third step."""

    def made_up(*args, **options):
        return lambda params: next(losses)

    monkeypatch.setattr("stiid.training.loop.validation_loss", made_up)
    stages = {name: {**tiny.CONFIG["train"]["stages"][name], "steps": 9} for name in STAGES}
    experiment = tiny.experiment(
        data_dir,
        train__stagnation={**tiny.IMPATIENT, "window": 0, "patience": 2},
        train__eval_every=1,
        train__stages=stages,
    )
    losses = iter([5.0, 6.0, 5.0, 4.0, 4.0, 4.5])
    tiny.train(experiment, tmp_path / "whole")
    trains = [row for row in tiny.log(tmp_path / "whole") if row["split"] == "train"]
    assert [row["num_frames"] for row in trains] == [2, 2, 2, 3, 3, 3]

    losses = iter([5.0, 6.0, 5.0, 4.0, 4.0, 4.5])
    signal_at(2)
    with pytest.raises(Interrupted):
        tiny.train(experiment, tmp_path / "parts")
    tiny.train(experiment, tmp_path / "parts")
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_a_finished_run_stays_as_it_is(trained, data_dir, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    tiny.train(tiny.experiment(data_dir), run)
    assert_same_run(run, trained)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2])
def test_resuming_with_a_stagnation_rule_is_exact(data_dir, tmp_path, signal_at, step):
    """Each stage ends at its second step: stopped before, and just when it does."""
    experiment = tiny.experiment(data_dir, train__stagnation=tiny.IMPATIENT)
    whole = tmp_path / "whole"
    tiny.train(experiment, whole)
    trains = [row for row in tiny.log(whole) if row["split"] == "train"]
    assert [(row["step"], row["num_frames"]) for row in trains] == [(1, 2), (2, 2), (3, 3), (4, 3)]

    signal_at(step)
    with pytest.raises(Interrupted):
        tiny.train(experiment, tmp_path / "parts")
    tiny.train(experiment, tmp_path / "parts")
    assert_same_run(tmp_path / "parts", whole)
