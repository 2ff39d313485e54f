"""What may differ when a run is resumed, and which mistakes are found before the first step."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tiny

from stiid.training import compatibility
from stiid.training.digest import change_json
from stiid.training.interrupt import Interrupted
from stiid.training.restore import load_clips
from stiid.training.validate import check_stages, trained_shapes
from stiid.typed_config import to_dict


def test_resuming_takes_as_many_processes(trained, data_dir, tmp_path):
    """The check comes before anything is written."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "checkpoints" / "6" / "progress" / "metadata"
    progress = json.loads(path.read_text())
    assert progress["processes"] == 1
    change_json(run / "checkpoints" / "6", "progress", progress | {"processes": 2})
    before = tiny.contents(run)
    with pytest.raises(ValueError, match=r"checkpoint of 2 process\(es\), and this run has 1: "):
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
    assert "the data differ" not in told.text
    path = run / "checkpoints" / "6" / "progress" / "metadata"
    progress = json.loads(path.read_text())
    progress["data"] = "own_video/of_before"
    change_json(run / "checkpoints" / "6", "progress", progress)
    tiny.train(tiny.experiment(data_dir), run)
    assert (
        "the data differ from those of the checkpoint (own_video/of_before, now bouncing"
        in told.text
    )


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


def test_all_that_differs_is_named_with_what_would_be_lost(data_dir, tmp_path, signal_at):
    """A run stopped after one update, and started again with other settings: nothing is lost."""
    run = tmp_path / "my run"
    signal_at(1)
    with pytest.raises(Interrupted, match="after step 1"):
        tiny.train(tiny.experiment(data_dir), run)
    before = tiny.contents(run)
    options = {**tiny.CONFIG["data"]["options"], "speed": 0.5}
    changes = {"model__num_slots": 4, "train__stages__stage_0__steps": 9, "data__options": options}
    other = tiny.experiment(data_dir, **changes, train__stages__stage_1__steps=7)
    with pytest.raises(ValueError, match="my run holds 1 update") as caught:
        tiny.train(other, run)
    assert str(caught.value) == (
        f"{run} holds 1 update(s) of another config: data.options.speed is 1.0 there and 0.5 here; "
        "model.num_slots is 3 there and 4 here; train.stages.stage_0.steps is 3 there and 9 here. "
        "To continue them, use that config; to start over, use another --workdir, or first move "
        f"this one away: mv '{run}' '{run}_1'"
    )
    assert tiny.contents(run) == before


def test_of_many_differences_the_first_are_named(trained, data_dir):
    changes = {f"optim__{name}": 0.5 for name in ("learning_rate", "final_learning_rate", "beta1")}
    experiment = tiny.experiment(data_dir, **changes, seed=7, data__pieces=True, data__max_frames=4)
    with pytest.raises(ValueError, match=r"holds 6 update\(s\).*; and 1 more\. To continue"):
        tiny.train(experiment, trained)


def test_stages_that_have_begun_may_not_change(trained, data_dir):
    stored = json.loads(json.dumps(to_dict(tiny.experiment(data_dir))))
    stage = tiny.CONFIG["train"]["stages"]["stage_1"]
    longer = tiny.experiment(data_dir, train__stages__stage_2=stage)
    for begun in (1, 2):
        assert compatibility.changed_stages(begun, longer, stored) == []
    earlier = tiny.experiment(data_dir, train__stages__stage_0_again=stage)
    assert compatibility.changed_stages(1, earlier, stored) == []
    assert compatibility.changed_stages(2, earlier, stored) == [
        "the stage stage_1 is trained there, and the config has stage_0_again in its place"
    ]
    shorter = dataclasses.replace(longer.train, stages={"stage_0": longer.train.stages["stage_0"]})
    shorter = dataclasses.replace(longer, train=shorter)
    assert compatibility.changed_stages(1, shorter, stored) == []
    assert compatibility.changed_stages(2, shorter, stored) == [
        "the stage stage_1 is trained there, and the config has no further one in its place"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim__learning_rate": 1.0}, r"optim.learning_rate is 0\.01 there and 1\.0 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"data__max_frames": 6}, "data.max_frames is 5 there and 6 here"),
        ({"train__stages__stage_1__steps": 9}, r"train\.stages\.stage_1\.steps is 3 there"),
        (
            {"train__stagnation": tiny.IMPATIENT},
            r"train\.stagnation\.min_improvement is 0\.0 there",
        ),
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
