"""The tables of the paper: shared trainings, and rows that can all be run."""

import fnmatch
import importlib
import json
import re

import pytest
import tiny
from rows import QUICK, tiny_row

from experiments import runner
from experiments.config_files import load_config
from experiments.result import (
    EVALUATE,
    MODEL,
    Measurement,
    Training,
    has_field,
)
from experiments.run import NAMES, main
from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.training.compatibility import MODEL as MODEL_SECTION
from stiid.training.compatibility import check_same
from stiid.typed_config import parse, to_dict

RESULTS = [(name, scale) for name in NAMES for scale in ("paper", "small")]
STUDIES = ("recipe", "authors")  # of the small configs alone
RESULTS = [one for one in RESULTS if one not in {(name, "paper") for name in STUDIES}]


def load(name, scale):
    return importlib.import_module(f"experiments.{name}").result(scale)


def test_trainings_are_shared_by_what_decides_them():
    plain = Training(config="configs/ddpae.py:small_binary")
    assert re.fullmatch("ddpae-small_binary-[0-9a-f]{8}/seed_1", str(plain.folder(1)))
    changes = {"evaluate.clips": 3, "data.data_dir": "x", "train.log_every": 7}
    changes["train.stages.stage_0.micro_batches"] = 2
    assert Training(config=plain.config, changes=changes).folder(1) == plain.folder(1)
    # where the loss on held-out clips ends stages, these clips decide
    watched = Training(config="configs/rnem.py:small")
    others = Training(config=watched.config, changes={"evaluate.clips": 3})
    assert others.folder(1) != watched.folder(1)
    for patience, watches in ((5, True), ("5", True), (0, False), ("0", False)):
        for config in (plain.config, watched.config):
            changes = {"train.stagnation.patience": patience}
            one = Training(config=config, changes=changes)
            two = Training(config=config, changes={**changes, "evaluate.clips": 3})
            assert (one.folder(1) != two.folder(1)) == watches
    other = Training(config=plain.config, changes={"model.num_slots": 3})
    assert other.folder(1) != plain.folder(1)
    measured = [
        Measurement(program=EVALUATE, changes=changes).folder(plain, 1)
        for changes in (
            {},
            {"evaluate.batch_size": 3, "data.data_dir": "x", "train.log_every": 7},
            {"evaluate.clips": 3},
            {"predict.num_observed": 3},
        )
    ]
    assert measured[0] == measured[1]
    assert len(set(measured)) == 3
    assert all(folder.is_relative_to(plain.folder(1)) for folder in measured)


def test_another_content_of_a_config_is_another_training(tmp_path):
    """What an older version of the file had trained is not taken for its own."""
    folders = []
    for number, (old, new) in enumerate(
        (
            ("", ""),
            ('"steps": 2500', '"steps": 9'),
            ('"batch_size": 16', '"batch_size": 16, "micro_batches": 2'),  # the same numbers
            ('"lengths": (10, 20)', '"lengths": (10, 15)'),  # the same training, another test
        )
    ):
        text = (tiny.ROOT / "configs" / "rnem.py").read_text(encoding="utf-8")
        assert old in text
        text = text.replace(old, new)
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "rnem.py"
        path.write_text(text, encoding="utf-8")
        training = Training(config=f"{path}:quick")
        measured = Measurement(program=EVALUATE).folder(training, 0)
        folders.append((training.folder(0), measured.name))
    assert folders[0] == folders[2]
    assert folders[0][0] != folders[1][0]
    assert folders[0][0] == folders[3][0]
    assert folders[0][1] != folders[3][1]


RECORDED = sorted((tiny.ROOT / "experiments" / "results").glob("*-small.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_runs_are_of_the_present_configs(path, tmp_path, monkeypatch):
    """Else the next run of the command would leave them out of the file."""
    monkeypatch.chdir(tiny.ROOT)
    content = json.loads(path.read_text())
    fresh = runner.Runner(tmp_path, content["changes"])
    rows = {row.name: fresh.resolve(row) for row in load(content["result"], "small").rows}
    runs = [(rows[record["row"]], run) for record in content["rows"] for run in record["runs"]]
    assert runs
    for row, run in runs:
        assert fresh.would_repeat(row, run), f"{row.name}, seed {run['seed']}"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_tables_are_what_the_command_writes_today(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.ROOT)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    name, scale = path.stem.rsplit("-", 1)
    assert main([name, f"--scale={scale}", "--rewrite", f"--output={tmp_path}"]) == 0
    assert copy.with_suffix(".md").read_text() == path.with_suffix(".md").read_text()
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("name", "scale"), RESULTS)
def test_every_row_can_be_run(name, scale, monkeypatch):
    """Changes are fields, configs parse, and a measurement takes what its training makes."""
    monkeypatch.chdir(tiny.ROOT)
    result = load(name, scale)
    assert result.name == name
    assert len({row.name for row in result.rows}) == len(result.rows)
    for row in result.rows:
        assert not set(row.name) & set("*?[],"), row.name
        trained = changed(row.training.config, row.training.changes)
        for one in row.measurements:
            changes = {**row.training.changes, **one.changes}
            tested = changed(one.config or row.training.config, changes)
            check_same(MODEL_SECTION, tested, to_dict_as_stored(trained), where=row.name)
            assert tested.evaluate.split == "test"
            data = tested.data
            options = registry.make_spec(data.name, **data.options)
            predict = tested.predict
            if one.program.name in ("predict", "simulate"):
                assert predict.num_observed + predict.num_simulated <= options.frames
        columns = {*result.columns, *row.paper}
        assert columns == set(result.columns)
        assert all(set(scores) <= set(result.scores) for scores in row.paper.values())


def changed(name, changes):
    config = load_config(name)
    with config.unlocked():
        for field, value in changes.items():
            assert has_field(config, field), f"{name} has no {field}"
            *sections, leaf = field.split(".")
            node = config
            for section in sections:
                node = node[section]
            node[leaf] = value
    return parse(Experiment, config.to_dict())


def to_dict_as_stored(experiment):
    return json.loads(json.dumps(to_dict(experiment)))


def test_what_no_row_has_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tiny.ROOT)
    begin = ["table1_decomposition", "--scale=small", f"--workdir={tmp_path}"]
    for further, message in (
        ("--config.train.typo=1", "no config of these rows has this field"),
        ("--only=nonsense", "no row 'nonsense', there are binary/r-nem, "),
        ("--typo", "unexpected argument --typo"),
        ("--seeds=0", "--seeds must be at least 1"),
        ("--rewrite", "table1_decomposition-small.json: make it without --rewrite"),
        ("--config.seed=3", "use --seeds"),
    ):
        with pytest.raises(SystemExit):
            main([*begin, f"--output={tmp_path}", further])
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", STUDIES)
def test_studies_are_of_small_configs(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tiny.ROOT)
    with pytest.raises(SystemExit):
        main([name, "--scale=paper", f"--workdir={tmp_path}", f"--output={tmp_path}"])
    assert f"{name} is a study of the small configs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_change_goes_to_the_configs_that_have_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.ROOT)
    changes = {"train.log_every": "7", "train.stages.stage_9.steps": "1"}
    row = runner.Runner(tmp_path, changes).resolve(tiny_row("Our"))
    assert row.training.changes == {**QUICK, "train.log_every": "7"}
    assert row.measurements[0].changes == {"evaluate.clips": 8, "train.log_every": "7"}


def test_names_of_parts():
    rows = load("fig5_prediction", "small").rows
    assert {row.part for row in rows} == {MODEL, "last frame", "linear motion"}
    assert fnmatch.filter([row.name for row in rows], "binary/*") == [
        "binary/r-nem",
        "binary/savi",
        "binary/our",
        "binary/last_frame",
        "binary/linear_motion",
    ]
