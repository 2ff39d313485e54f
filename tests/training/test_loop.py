"""Oracle of every interruption: the run that was not interrupted, bit by bit."""

import dataclasses
import json
import shutil
import signal

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny
from PIL import Image

from stiid.cli import modes
from stiid.evaluation.evaluator import Evaluator
from stiid.training import compatibility
from stiid.training.checkpoints import Checkpoints
from stiid.training.digest import change_json
from stiid.training.interrupt import Interrupted
from stiid.training.log import MetricWriter
from stiid.training.loop import NonFiniteError, _seed
from stiid.training.restore import load_clips
from stiid.training.validate import check_stages, trained_shapes
from stiid.typed_config import to_dict

# Windows of one step: a stage ends as soon as there are two losses to compare.
STAGES = ("stage_0", "stage_1")
IMPATIENT = {"window": 1, "min_improvement": 1e9, "collapse_kl": 0.0, "patience": 0}


@pytest.fixture
def signal_at(monkeypatch):
    """Send a signal to this process when the log line of a step is written."""

    def arrange(step, number=signal.SIGTERM):
        write = MetricWriter.write

        def write_and_raise(self, at, split, scalars):
            write(self, at, split, scalars)
            if at == step and split == "train":
                signal.raise_signal(number)

        monkeypatch.setattr(MetricWriter, "write", write_and_raise)

    yield arrange
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def assert_same_run(ours, theirs):
    tiny.assert_same(tiny.state(ours), tiny.state(theirs))
    assert tiny.log(ours) == tiny.log(theirs)
    assert tiny.scores(ours) == tiny.scores(theirs)


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
def test_pictures_of_evaluations_are_in_tensorboard_too(data_dir, tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        MetricWriter, "write_image", lambda self, *args: shown.update({args[:2]: args[2]})
    )
    tiny.train(tiny.experiment(data_dir, train__eval_every=2), tmp_path)
    assert list(shown) == [(step, f"clips/0{i}") for step in (2, 3, 4, 6) for i in (0, 1)]
    for (step, tag), picture in shown.items():
        with Image.open(tmp_path / "pictures" / f"step_{step:06d}_{tag[-2:]}.png") as file:
            np.testing.assert_array_equal(np.asarray(file.convert("RGB")), picture)


def test_training_changes_every_parameter(trained):
    first, last = tiny.state(trained, str(trained / "checkpoints" / "3")), tiny.state(trained)
    assert (first.step, last.step, last.skipped) == (3, 6, 0)
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(first.params), jax.tree.leaves(last.params), strict=True
    )
    same = [jax.tree_util.keystr(path) for (path, a), b in pairs if np.array_equal(a, b)]
    assert not same
    tiny.assert_same(first.key, last.key)


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
        train__stagnation={**IMPATIENT, "window": 0, "patience": 2},
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
    experiment = tiny.experiment(data_dir, train__stagnation=IMPATIENT)
    whole = tmp_path / "whole"
    tiny.train(experiment, whole)
    trains = [row for row in tiny.log(whole) if row["split"] == "train"]
    assert [(row["step"], row["num_frames"]) for row in trains] == [(1, 2), (2, 2), (3, 3), (4, 3)]

    signal_at(step)
    with pytest.raises(Interrupted):
        tiny.train(experiment, tmp_path / "parts")
    tiny.train(experiment, tmp_path / "parts")
    assert_same_run(tmp_path / "parts", whole)


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


@pytest.mark.parametrize("mode", ["eval", "decompose"])
def test_checkpoints_are_closed_whatever_happens(trained, data_dir, tmp_path, monkeypatch, mode):
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
        modes.run(mode, experiment, workdir=str(tmp_path), checkpoint=str(trained))
    assert opened == closed != []


@pytest.mark.slow
def test_skip_non_finite_updates(data_dir, tmp_path):
    """All but ``step`` and ``skipped`` stay as they were, and so does what decides stagnation."""
    experiment = tiny.experiment(
        data_dir,
        train__non_finite="skip",
        train__max_skips=3,
        train__stagnation={**IMPATIENT, "window": 2},
        train__stages__stage_1__optim=WILD,
    )
    tiny.train(experiment, tmp_path)
    before, after = (tiny.state(tmp_path, str(tmp_path / "checkpoints" / n)) for n in ("3", "6"))
    assert (int(after.step), int(after.skipped), int(before.skipped)) == (6, 3, 0)
    tiny.assert_same((after.params, after.opt_state), (before.params, before.opt_state))
    rows = [row for row in tiny.log(tmp_path) if row["split"] == "train"]
    assert [row["skipped"] for row in rows] == [0, 0, 0, 1, 2, 3]


def test_resuming_takes_as_many_processes(trained, data_dir, tmp_path):
    """The check comes before anything is written."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "checkpoints" / "6" / "progress" / "metadata"
    progress = json.loads(path.read_text())
    assert progress["processes"] == 1
    change_json(run / "checkpoints" / "6", "progress", progress | {"processes": 2})
    before = tiny.contents(run)
    with pytest.raises(ValueError, match=r"checkpoint of 2 process\(es\), and 1 would resume it"):
        tiny.train(tiny.experiment(data_dir), run)
    assert tiny.contents(run) == before


@pytest.mark.parametrize(
    ("patience", "allowed"), [(0, True), (2, False)], ids=["fixed length", "patience"]
)
def test_what_ends_a_stage_stays(data_dir, patience, allowed):
    """Evaluations decide about training only where they may end a stage."""
    old = tiny.experiment(data_dir, train__stagnation__patience=patience)
    stored = json.loads(json.dumps(to_dict(old)))
    for name in ("train__eval_every", "evaluate__clips", "evaluate__seed", "evaluate__batch_size"):
        changes = {name: 7, "train__stagnation__patience": patience}
        new = tiny.experiment(data_dir, **changes)
        fields = compatibility.training_fields(new)
        if allowed:
            compatibility.check_same(fields, new, stored, where=data_dir)
            continue
        with pytest.raises(ValueError, match=rf"{name.replace('__', '.')} is \d+ there and 7 here"):
            compatibility.check_same(fields, new, stored, where=data_dir)


def test_what_changes_no_trained_number_may_change(trained, data_dir, tmp_path):
    """More memory or less, and loops: training resumes, evaluation starts."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    changes = {"model__inference__remat": True, "model__inference__unroll": 1}
    changes["train__stages__stage_1__model"] = {"inference": {"remat": True}}  # a new section
    experiment = tiny.experiment(data_dir, **changes)
    tiny.train(experiment, run)
    for length, scores in tiny.scores(run)["lengths"].items():
        assert scores == pytest.approx(tiny.scores(trained)["lengths"][length], abs=1e-5)


def test_other_data_are_told(trained, data_dir, tmp_path, told):
    """Where they lie says nothing, what they are does."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    tiny.train(tiny.experiment(data_dir), run)
    assert "the data are not those of before" not in told.text
    path = run / "checkpoints" / "6" / "progress" / "metadata"
    progress = json.loads(path.read_text())
    progress["data"] = "own_video/of_before"
    change_json(run / "checkpoints" / "6", "progress", progress)
    tiny.train(tiny.experiment(data_dir), run)
    assert "the data are not those of before: own_video/of_before, now bouncing" in told.text


@pytest.mark.slow
def test_stages_to_come_may_change(data_dir, tmp_path, signal_at):
    """A run that is stopped in its first stage goes on as another config has it from there."""
    other = {**tiny.CONFIG["train"]["stages"]["stage_1"], "num_frames": 2, "steps": 2}
    changed = tiny.experiment(data_dir, train__stages__stage_1=other)
    tiny.train(changed, tmp_path / "whole")
    signal_at(2)
    with pytest.raises(Interrupted, match="after step 2"):
        tiny.train(tiny.experiment(data_dir), tmp_path / "resumed")
    tiny.train(changed, tmp_path / "resumed")
    assert tiny.scores(tmp_path / "resumed") == tiny.scores(tmp_path / "whole")


def test_what_was_imported_has_begun_no_stage(trained, data_dir, tmp_path):
    """So that all of them may be others."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "checkpoints" / "6" / "progress" / "metadata"
    progress = json.loads(path.read_text()) | {"stage": 0, "step_in_stage": 0}
    change_json(run / "checkpoints" / "6", "progress", progress)
    tiny.train(tiny.experiment(data_dir, train__stages__stage_0__steps=1), run)
    assert tiny.scores(run)["step"] == 6 + 1 + tiny.CONFIG["train"]["stages"]["stage_1"]["steps"]


def test_stages_that_have_begun_may_not_change(trained, data_dir):
    stored = json.loads(json.dumps(to_dict(tiny.experiment(data_dir))))
    stage = tiny.CONFIG["train"]["stages"]["stage_1"]
    longer = tiny.experiment(data_dir, train__stages__stage_2=stage)
    for begun in (1, 2):
        compatibility.check_begun(begun, longer, stored, where=trained)
    earlier = tiny.experiment(data_dir, train__stages__stage_0_again=stage)
    compatibility.check_begun(1, earlier, stored, where=trained)
    with pytest.raises(ValueError, match=r"trained the stage stage_1, .* has stage_0_again in its"):
        compatibility.check_begun(2, earlier, stored, where=trained)
    shorter = dataclasses.replace(longer.train, stages={"stage_0": longer.train.stages["stage_0"]})
    shorter = dataclasses.replace(longer, train=shorter)
    compatibility.check_begun(1, shorter, stored, where=trained)
    with pytest.raises(ValueError, match="the config has no further one in its place"):
        compatibility.check_begun(2, shorter, stored, where=trained)


@pytest.mark.slow
def test_too_many_skips_in_a_row_stop(data_dir, tmp_path, signal_at):
    """Also when the run is resumed in between: the third is one too many."""
    changes = {"train__non_finite": "skip", "train__stages__stage_1__optim": WILD}
    experiment = tiny.experiment(data_dir, **changes)
    signal_at(5)
    with pytest.raises(Interrupted, match="after step 5"):
        tiny.train(experiment, tmp_path)
    with pytest.raises(NonFiniteError, match=r"step 6: .* number 3 in a row \(train\.max_skips\)"):
        tiny.train(experiment, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim__learning_rate": 1.0}, r"optim.learning_rate is 0\.01 there and 1\.0 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"data__max_frames": 6}, "data.max_frames is 5 there and 6 here"),
        ({"train__stages__stage_1__steps": 9}, r"train\.stages\.stage_1\.steps is 3 there"),
        ({"train__stagnation": IMPATIENT}, r"train\.stagnation\.min_improvement is 0\.0 there"),
        ({"model__latent_size": 5}, "model.latent_size is 4 there and 5 here"),
        ({"train__stagnation__patience": 2}, r"train\.stagnation\.patience is 0 there and 2 here"),
    ],
)
def test_refuse_to_resume_another_experiment(trained, data_dir, changes, message):
    before = tiny.contents(trained)
    with pytest.raises(ValueError, match=message):
        tiny.train(tiny.experiment(data_dir, **changes), trained)
    assert tiny.contents(trained) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__stages__stage_1__num_frames": 6}, r"train\.stages\.stage_1: num_frames"),
        ({"train__stages__stage_1__batch_size": 12}, r"stage_1\.batch_size = 12 must be a mult"),
        ({"evaluate__batch_size": 4}, r"evaluate\.batch_size = 4 must be a multiple"),
        ({"evaluate__lengths": (2, 7)}, r"evaluate\.lengths = \(2, 7\) do not fit .* 6 frames"),
        ({"evaluate__split": "tset"}, "split must be one of"),
        (
            {"model__refiner": {**tiny.CONFIG["model"]["refiner"], "pool": "average", "layers": 2}},
            r"config\.model: refiner\.pool = 'average' needs maps of at least 4×4 .* got 2×2",
        ),
        (
            {
                "model__inference__gradient_skip": 0.0,
                "evaluate__model": {"inference": {"gradient_skip": 0.3}},
            },
            r"evaluate\.model: it needs the parameter params\['gradient_skip'\] .* is missing in",
        ),
        (
            {"train__stages__stage_1__model": {"latent_size": 5}},
            r"train\.stages\.stage_1: it needs the parameter params.* has shape .* in config",
        ),
        ({"evaluate__model": {"prior": {"features": 7}}}, r"evaluate\.model: it needs the param"),
        ({"model__decoder__colour": 1}, r"config\.model: decoder: unknown field\(s\) colour"),
    ],
)
def test_mistakes_are_found_before_the_first_step(data_dir, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny.train(tiny.experiment(data_dir, **changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_patience_needs_held_out_clips_as_long(data_dir):
    experiment = tiny.experiment(data_dir, train__stagnation__patience=1)
    held_out = [{"video": np.zeros((2, 8, 8, 3), np.uint8)}]
    trained = trained_shapes(experiment, (8, 8, 3)).params
    message = r"stage_1\.num_frames = 3 does not fit held-out clips of 2 frames"
    with pytest.raises(ValueError, match=message):
        check_stages(experiment, load_clips(experiment, "train"), held_out, trained)


def test_intervals_and_metrics_are_checked(data_dir):
    for changes, message in [
        ({"train__log_every": 0}, "train.log_every must be at least 1"),
        ({"train__best_metric": "loss"}, "train.best_metric: expected one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny.experiment(data_dir, **changes)


def test_neighboring_seeds_share_no_stream_of_data():
    streams = {_seed(seed, stage) for seed in range(5) for stage in range(5)}
    assert len(streams) == 25


def test_the_seed_decides_everything(trained, data_dir, tmp_path):
    tiny.train(dataclasses.replace(tiny.experiment(data_dir), seed=1), tmp_path)
    ours, theirs = tiny.log(tmp_path), tiny.log(trained)
    assert all(a["total"] != b["total"] for a, b in zip(ours, theirs, strict=True) if "total" in a)
