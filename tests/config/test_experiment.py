"""The experiment as a typed config: overrides, and values that are refused at once."""

import json
import math

import pytest
import tiny

from stiid.config import extend
from stiid.config.experiment import Experiment
from stiid.typed_config import parse, to_dict


def test_the_experiment_survives_json(tmp_path):
    experiment = tiny.experiment(tmp_path)
    assert parse(Experiment, json.loads(json.dumps(to_dict(experiment)))) == experiment


def test_what_a_config_leaves_out_is_the_paper():
    """At the paper's scale nothing but the data has to be named (section 4, Appendix D)."""
    paper = parse(Experiment, {"data": {"name": "bouncing_balls"}})
    assert (paper.model.latent_size, paper.model.num_slots, paper.data.max_frames) == (64, 5, 40)
    assert paper.model.decoder["features"] == paper.model.refiner["features"] == 64
    assert (paper.model.inference.refinements, paper.model.inference.grid) == (6, "triangular")
    assert (paper.model.objective.beta, paper.model.objective.psi) == (100.0, 10.0)
    assert (paper.optim.learning_rate, paper.optim.final_learning_rate) == (3e-4, 3e-4)
    stages = [paper.train.stages[name] for name in paper.train.order]
    assert [stage.num_frames for stage in stages] == [4, 8, 16, 24, 40]
    assert [stage.batch_size for stage in stages] == [32, 16, 8, 8, 8]
    assert paper.evaluate.lengths == (10, 20, 30, 40)


def test_slots_at_test_are_those_of_training_unless_named():
    section = {"data": {"name": "bouncing_balls"}, "model": {"num_slots": 7}}
    assert parse(Experiment, section).evaluate.num_slots == 7
    section["evaluate"] = {"num_slots": 9}
    assert parse(Experiment, section).evaluate.num_slots == 9


DECODER = tiny.CONFIG["model"]["decoder"]


def test_stages_and_evaluation_override_the_experiment(tmp_path):
    stage = {"inference": {"refinements": 2}, "objective": {"psi": 7.0}}
    experiment = tiny.experiment(
        tmp_path,
        train__stages__stage_1__model=stage,
        train__stages__stage_1__optim={"learning_rate": 0.5},
        evaluate__model={"inference": {"refinements": 3}, "refiner": {"forget_scale": 0.25}},
    )
    first, second = (experiment.at_stage(name) for name in ("stage_0", "stage_1"))
    assert first.model == experiment.model
    assert (second.model.inference.refinements, second.model.objective.psi) == (2, 7.0)
    assert second.model.objective.beta == experiment.model.objective.beta
    assert second.optim.learning_rate == 0.5
    tested = experiment.at_test().model
    assert tested.inference.refinements == 3
    assert tested.refiner == {**experiment.model.refiner, "forget_scale": 0.25}
    assert tested.objective == experiment.model.objective


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train__stages__stage_1__model": {"inference": {"refinments": 2}}},
            r"train\.stages\.stage_1\.model\.inference: unknown field\(s\) refinments",
        ),
        (
            {"optim__learning_rate": 1e-4},
            r"final_learning_rate = 0\.001 exceeds learning_rate = 0\.0001: lower it",
        ),
        (
            {"train__stages__stage_0__optim": {"lr": 2.0}},
            r"train\.stages\.stage_0\.optim: unknown field\(s\) lr",
        ),
        ({"evaluate__model": {"num_slots": 9}}, r"evaluate\.model\.num_slots: set evaluate\.num"),
        ({"evaluate__model": {"objectiv": {}}}, r"evaluate\.model: unknown field\(s\) objectiv"),
        ({"evaluate__restarts": 0}, r"evaluate\.restarts must be at least 1, got 0"),
        ({"evaluate__lengths": (0,)}, r"evaluate\.lengths: expected positive lengths"),
        ({"evaluate__lengths": (4, 2)}, r"evaluate\.lengths: expected positive lengths in"),
        ({"evaluate__lengths": (2, 2)}, r"evaluate\.lengths: expected positive lengths in"),
        ({"evaluate__noise": "some"}, r"evaluate\.noise: expected one of"),
        ({"train__log_every": 0}, r"train\.log_every must be at least 1"),
        ({"train__max_skips": -1}, r"train\.max_skips must not be negative"),
        ({"seed": -1}, r"seed must not be negative"),
        ({"train__stages": {}}, r"train\.stages is empty"),
        ({"train__stages__stage_0__steps": -1}, r"stages\.stage_0: steps must be at least 0, got"),
        ({"train__stages__stage_0__batch_size": 0}, r"stage_0: batch_size must be at least 1"),
        ({"train__stagnation__window": -1}, r"stagnation: window must not be negative"),
        ({"evaluate__clips": -5}, r"evaluate\.clips must not be negative, got -5: 0 means all"),
        (
            {"evaluate__num_slots": -1},
            r"evaluate\.num_slots must not be negative, got -1: 0 means as",
        ),
        ({"predict__clips": 0}, r"predict\.clips must be at least 1"),
        ({"predict__num_simulated": -1}, r"predict\.num_simulated must be at least 0"),
        ({"optim__clip_norm": 0.0}, r"optim\.clip_norm must be positive, got 0\.0"),
        ({"optim__learning_rate": math.nan}, r"optim\.learning_rate must be finite .* got nan"),
        ({"optim__final_learning_rate": -1e-3}, r"optim\.final_learning_rate must be finite"),
        ({"optim__warmup_steps": -1}, r"optim\.warmup_steps must not be negative"),
        ({"model__num_slots": 0}, r"config\.model: num_slots must be at least 1"),
        ({"model__inference__refinements": 0}, r"inference\.refinements must be at least 1"),
        (
            {"evaluate__model": {"inference": {"refinements": 0}}},
            r"evaluate\.model\.inference: inference\.refinements must be at least 1",
        ),
        (
            {"model__decoder": {**DECODER, "residual": "no"}},
            r"residual: expected bool, got 'no'",
        ),
        (
            {"model__decoder": {**DECODER, "layers": 2.0}},
            r"layers: expected int, got 2\.0",
        ),
        ({"model__decoder__frequencies": ("a",)}, r"decoder\.frequencies\[0\]: expected float"),
        ({"model__refiner__layers": -1}, r"config\.model: refiner\.layers must be at least 0"),
        ({"model__refiner__hidden": 0}, r"config\.model: refiner\.hidden must be at least 1"),
        ({"model__inference__grid": "round"}, r"inference\.grid: expected one of"),
        (
            {"model__inference__log_var_range": (3.0, -10.0)},
            r"inference\.log_var_range: expected \(low, high\), got \(3\.0, -10\.0\)",
        ),
        (
            {
                "model__inference__time_axis": "none",
                "model__inference__conditional_prior": False,
                "model__inference__generation": False,
            },
            r"time_axis='none' needs grid='full', got grid='triangular'",
        ),
        (
            {
                "model__inference__time_axis": "none",
                "model__inference__grid": "full",
                "model__inference__conditional_prior": False,
                "model__inference__generation": False,
                "model__objective__num_simulated": 1,
            },
            r"config\.model: objective\.num_simulated must be 0 without memory",
        ),
        ({"model__objective__beta": -1.0}, r"objective\.beta must be finite and not negative"),
        ({"model__objective__psi": math.inf}, r"objective\.psi must be finite and not negative"),
        ({"model__objective__gamma": math.nan}, r"objective\.gamma must be finite, got nan"),
        ({"model__inference__variance": math.nan}, r"inference\.variance must be positive"),
        ({"model__inference__init_scale": math.inf}, r"inference\.init_scale must be finite"),
        ({"train__stagnation__collapse_kl": math.nan}, r"stagnation: collapse_kl must be finite"),
        ({"model__family": "slots"}, r"config\.model\.family: expected one of \('stiid', "),
    ],
)
def test_impossible_experiments_are_refused_at_once(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny.experiment(tmp_path, **changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "name",
    [
        "model__refiner__output_scale",
        "model__refiner__forget_bias",
        "model__refiner__forget_scale",
        "model__inference__init_log_var",
    ],
)
def test_no_field_takes_what_is_no_number(tmp_path, name, value):
    with pytest.raises(ValueError, match="finite"):
        tiny.experiment(tmp_path, **{name: value})
    with pytest.raises(ValueError, match="finite"):
        tiny.experiment(tmp_path, model__decoder__frequencies=(0.5, value))


def test_lengths_follow_the_clips_of_the_data():
    def lengths(**options):
        config = extend("own_video", data={"options": options})
        return parse(Experiment, config).evaluate.lengths

    assert lengths() == (5, 10)
    assert lengths(frames=13) == (6, 13)
    assert lengths(frames=1) == (1,)
    with pytest.raises(ValueError, match="max_frames must not be negative"):
        parse(Experiment, {"data": {"name": "own_video", "max_frames": -1}})
