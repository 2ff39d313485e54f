"""A result from training to Markdown, on the tiny experiment; and that every row can be run."""

import dataclasses
import fnmatch
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from experiments import commands, runner
from experiments.commands import CommandError, run_once
from experiments.config_files import load_config
from experiments.markdown import table
from experiments.records import spread
from experiments.result import (
    EVALUATE,
    MODEL,
    Measurement,
    PaperResult,
    Row,
    Training,
    has_field,
)
from experiments.run import NAMES, main, make
from experiments.systems import decomposition_scores
from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.training.compatibility import MODEL as MODEL_SECTION
from stiid.training.compatibility import check_same
from stiid.typed_config import parse, to_dict

CONFIG = "tests/tiny.py"
QUICK = {"train.stages.stage_0.steps": 1, "train.stages.stage_1.steps": 0}
RESULTS = [(name, scale) for name in NAMES for scale in ("paper", "small")]
RESULTS.remove(("recipe", "paper"))


def tiny_row(model, **changes):
    return Row(
        data="tiny",
        model=model,
        training=Training(config=CONFIG, changes={**QUICK, **changes}),
        measurements=(Measurement(program=EVALUATE, changes={"evaluate.clips": 8}),),
        paper={"4": {"mse": 0.5}},
    )


RESULT = PaperResult(
    name="tiny",
    title="Tiny",
    note="A note.",
    columns=("2", "4"),
    scores={"mse": "MSE", "f_ari": "F-ARI per clip"},
    rows=(tiny_row("Our"), tiny_row("Broken", **{"model.inference.grid": "nonsense"})),
    read=decomposition_scores,
    draw=None,
)


def load(name, scale):
    return importlib.import_module(f"experiments.{name}").result(scale)


def refuse(command):
    raise CommandError(f"nothing is to be run, but {command} is")


def run_result(folder, data_dir, only="*"):
    changes = {"data.data_dir": str(data_dir)}
    code = make(
        RESULT,
        "small",
        seeds=(0,),
        only=only,
        workdir=folder / "runs",
        output=folder / "results",
        changes=changes,
    )
    content = json.loads((folder / "results" / "tiny-small.json").read_text())
    return code, {row["model"]: row for row in content["rows"]}


def test_from_training_to_markdown(tmp_path, data_dir, monkeypatch):
    """A failed row leaves the other alone; a second run starts nothing and writes the same."""
    monkeypatch.chdir(tiny.ROOT)
    for name, value in tiny.environment().items():
        monkeypatch.setenv(name, value)
    code, rows = run_result(tmp_path, data_dir)
    assert code == 1
    assert (rows["Our"]["status"], rows["Broken"]["status"]) == ("done", "failed")
    assert "grid: expected one of" in rows["Broken"]["errors"]["0"]
    assert rows["Broken"]["runs"] == []
    (run,) = rows["Our"]["runs"]
    assert {name: run[name] for name in ("seed", "slots", "refinements", "schedule", "step")} == {
        "seed": 0,
        "slots": 3,
        "refinements": 1,
        "schedule": "triangular",
        "step": 1,
    }
    assert (tmp_path / "runs" / run["checkpoint"]).is_dir()
    card = json.loads(
        (tmp_path / "runs" / RESULT.rows[0].training.folder(0) / "run.json").read_text()
    )
    assert run["data"] == card["data"].replace(":train", ":validation")
    assert run["commit"]
    assert run["minutes"] > 0
    assert run["measured"][0]["minutes"] > 0
    assert run["command"].startswith(f"python -m stiid.main --config={CONFIG} --workdir=WORKDIR")
    measured = run["measured"][0]["command"]
    assert f"--checkpoint={RESULT.rows[0].training.folder(0)} --workdir=WORKDIR" in measured
    assert str(tmp_path) not in measured.replace(str(data_dir), "")
    assert set(run["scores"]) == {"2", "4"}
    assert {"ari", "ari_frame", "f_ari", "f_ari_frame", "mse"} <= set(run["scores"]["2"])
    mean = rows["Our"]["mean_std"]["4"]["mse"]
    assert mean == {"mean": run["scores"]["4"]["mse"], "std": None, "runs": 1}
    text = (tmp_path / "results" / "tiny-small.md").read_text()
    assert f"{mean['mean']:.4f} (0.5000) |" in text
    assert "* **failed**: `tiny/broken`, seed 0: error: " in text

    monkeypatch.setattr(commands, "_execute", refuse)
    code, again = run_result(tmp_path, data_dir, only="tiny/our")
    assert code == 0
    assert again["Our"] == rows["Our"]
    assert again["Broken"]["status"] == "missing"


def noted_run(row, seed):
    """A run of a row as a file of results has it."""
    folder = str(row.measurements[0].folder(row.training, seed))
    return {
        "seed": seed,
        "slots": 3,
        "refinements": 1,
        "schedule": "triangular",
        "step": 1,
        "minutes": 0.5,
        "commit": "abc",
        "checkpoint": str(row.training.folder(seed) / "checkpoints" / "1"),
        "measured": [{"folder": folder, "command": "…", "minutes": 0.1}],
        "scores": {"4": {"mse": 0.25}},
    }


def make_beside(path, result, *, only):
    """Seed 0 of one row, into a file of results that is there."""
    folders = {"workdir": path.parents[1] / "runs", "output": path.parent}
    make(result, "small", seeds=(0,), only=only, changes={}, **folders)


def test_what_a_file_has_of_another_workdir_stays(tmp_path, monkeypatch, capsys):
    """Those of another training, or of another test, are left out, and it is said."""
    monkeypatch.chdir(tiny.ROOT)
    monkeypatch.setattr(commands, "_execute", refuse)
    run = noted_run(RESULT.rows[0], 0)
    folder = run["measured"][0]["folder"]
    other_training = {**run, "measured": [{"folder": folder.replace("tiny-", "tiny-0", 1)}]}
    other_test = {**run, "measured": [{"folder": f"{folder}0"}]}
    path = tmp_path / "results" / "tiny-small.json"
    path.parent.mkdir()
    for before, kept in ((run, [run]), (other_training, []), (other_test, [])):
        path.write_text(json.dumps({"rows": [{"row": "tiny/our", "runs": [before]}]}))
        make_beside(path, RESULT, only="tiny/broken")
        rows = {r["model"]: r for r in json.loads(path.read_text())["rows"]}
        assert rows["Our"]["runs"] == kept
        said = "tiny/our, seed 0: left out, it is of another config or test"
        assert (said in capsys.readouterr().err) == (kept == [])


def test_a_file_counts_the_seeds_that_it_keeps(tmp_path, monkeypatch):
    """The last command asks for one seed of one row; three of the other are in its mean."""
    monkeypatch.chdir(tiny.ROOT)
    monkeypatch.setattr(commands, "_execute", refuse)
    our, few, none = rows = tiny_row("Our"), tiny_row("Few"), tiny_row("None")
    kept = [
        {"row": row.name, "runs": [noted_run(row, seed) for seed in range(count)]}
        for row, count in ((our, 3), (few, 1), (none, 0))
    ]
    path = tmp_path / "results" / "tiny-small.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"rows": kept}))
    make_beside(path, dataclasses.replace(RESULT, rows=rows), only="tiny/none")
    content = json.loads(path.read_text())
    assert content["seeds"] == [0, 1, 2]
    assert [row["status"] for row in content["rows"]] == ["done", "missing", "failed"]
    text = path.with_suffix(".md").read_text()
    assert "--scale=small --seeds=3`" in text
    assert "* not run, or not with all seeds: `tiny/few`\n" in text


def test_a_training_that_failed_is_tried_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.ROOT)
    tried = []

    def fail(command):
        tried.append(command)
        raise CommandError("error: no")

    monkeypatch.setattr(commands, "_execute", fail)
    both = runner.Runner(tmp_path, {})
    for row in (tiny_row("Our"), tiny_row("Other name")):
        with pytest.raises(CommandError, match="error: no"):
            both.run(row, 0)
    assert len(tried) == 1


def test_the_last_line_and_the_time_of_failures(tmp_path, capfd):
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(CommandError, match="no_such_module"):
        run_once(folder, ["no_such_module"])
    assert "no_such_module" in capfd.readouterr().err
    assert not commands.is_complete(folder)
    # What an attempt took without leaving a note is not known.
    assert json.loads((folder / "interrupted.json").read_text()) == {"minutes": None}
    (folder / "interrupted.json").write_text('{"minutes": 3.0}')
    run_once(folder, ["json.tool", "--help"])
    assert commands.cost(folder)["minutes"] >= 3.0
    assert commands.cost(folder)["command"] == "python -m json.tool --help"
    run_once(folder, ["no_such_module"])  # complete: not run


def test_the_time_of_a_killed_attempt_is_not_known(tmp_path, monkeypatch):
    """Not even if an earlier one left a note."""
    folder, killed = tmp_path / "run", tmp_path / "killed"
    folder.mkdir()
    (folder / "interrupted.json").write_text('{"minutes": 3.0}')
    # What is there while a command runs is what is left if its runner is killed.
    monkeypatch.setattr(commands, "_execute", lambda command: shutil.copytree(folder, killed))
    run_once(folder, ["module"])
    assert commands.cost(folder)["minutes"] >= 3.0
    monkeypatch.setattr(commands, "_execute", lambda command: None)
    run_once(killed, ["module"])
    assert commands.cost(killed)["minutes"] is None


@pytest.mark.parametrize("place", ["/home/me/runs", "/home/me/my runs", "it's here"])
def test_a_noted_command_has_no_place_of_this_machine(place):
    trained = Path("tiny-0123abcd") / "seed_0"
    folder = place / trained / "measurements" / "eval-0"
    words = ["stiid.main", f"--checkpoint={place / trained}", f"--workdir={folder}", "--a=b c"]
    noted = runner._plain(commands.command_text(folder, words), trained)
    assert noted == (f"python -m stiid.main --checkpoint={trained} --workdir=WORKDIR '--a=b c'")


def test_a_command_without_a_last_word(tmp_path, monkeypatch):
    """One that the system ended, for want of memory perhaps, is not blamed for its last line."""
    (tmp_path / "ended.py").write_text(
        "import os, sys; print('fine', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CommandError, match="ended was ended by signal 9"):
        run_once(tmp_path / "run", ["ended"])


SLOW = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5)
    pathlib.Path("saved").touch()
    print("saved", file=sys.stderr, flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""
RUNNER = """
import pathlib, signal, sys
from experiments.commands import run_once
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
run_once(pathlib.Path("run"), ["slow"])
"""


@pytest.mark.slow
def test_a_runner_that_is_stopped_waits_for_its_command(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "runner.py").write_text(RUNNER)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{tiny.ROOT}"}
    command = [sys.executable, "runner.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr.readline() == "ready\n"
        process.terminate()
        assert process.stderr.read() == "saved\n"
    assert process.returncode == 143
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "run" / "interrupted.json").exists()


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


def test_mean_and_spread():
    """By hand: 1, 2, 4 have mean 7/3 and sample variance ((4/3)² + (1/3)² + (5/3)²) / 2 = 7/3."""
    runs = [{"10": {"mse": value}} for value in (1.0, 2.0, 4.0)]
    ours = spread([*runs, {"10": {"mse": None}}])["10"]["mse"]
    assert ours["mean"] == pytest.approx(7 / 3)
    assert ours["std"] == pytest.approx((7 / 3) ** 0.5)
    assert ours["runs"] == 3
    assert spread(runs[:1])["10"]["mse"] == {"mean": 1.0, "std": None, "runs": 1}


def test_markdown():
    run = {
        "seed": 0,
        "slots": 5,
        "refinements": None,
        "schedule": None,
        "step": 7,
        "minutes": 1.5,
        "commit": "abc",
        "checkpoint": "x/seed_0/checkpoints/7",
    }
    cells = {"2": {"mse": {"mean": 0.25, "std": 0.125, "runs": 2}}, "4": {}}
    record = {"row": "tiny/our", "data": "tiny", "model": "Our", "status": "done", "errors": {}}
    lacking = {**record, "row": "tiny/other", "status": "missing", "mean_std": {}, "runs": []}
    records = [
        {**record, "mean_std": cells, "paper": {"4": {"mse": 0.5}}, "runs": [run]},
        {**lacking, "paper": {}},
    ]
    changes = {"train.log_every": 7}
    assert table(RESULT, "small", records, seeds=(0, 1), changes=changes).split("\n") == [
        "# Tiny (small scale)",
        "",
        "A note. In brackets: the paper's numbers. Made by `python -m experiments.run tiny "
        "--scale=small --seeds=2 --config.train.log_every=7`.",
        "",
        "| data | model | score | 2 | 4 |",
        "| --- | --- | --- | --- | --- |",
        "| tiny | Our | MSE | 0.2500 ± 0.1250 | – (0.5000) |",
        "",
        "* not run, or not with all seeds: `tiny/other`",
        "",
        "| row | seed | K | R | grid | step | minutes | commit | checkpoint |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| tiny/our | 0 | 5 | – | – | 7 | 1.5 | abc | x/seed_0/checkpoints/7 |",
        "",
    ]


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
        ("--config.seed=3", "use --seeds"),
    ):
        with pytest.raises(SystemExit):
            main([*begin, f"--output={tmp_path}", further])
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_of_results_is_not_lost(tmp_path, monkeypatch, capsys):
    """Neither one that cannot be read, nor runs of other fields; and nothing is trained first."""
    monkeypatch.chdir(tiny.ROOT)
    monkeypatch.setattr(commands, "_execute", refuse)
    name = "table5_schedule-small.json"
    recorded = (tiny.ROOT / "experiments" / "results" / name).read_text()
    path = tmp_path / name
    begin = ["table5_schedule", "--scale=small", "--seeds=1", f"--workdir={tmp_path}/runs"]
    for content, further, message in (
        ("<<<<<<< ours", (), f"{path} is no file of results"),
        ("[]", (), f"{path} is no file of results"),
        (recorded, ("--config.model.num_slots=6",), "without these changes, and would lose it"),
    ):
        path.write_text(content)
        with pytest.raises(SystemExit):
            main([*begin, f"--output={tmp_path}", *further])
        assert message in capsys.readouterr().err
        assert path.read_text() == content
    assert main([*begin, f"--output={tmp_path}", "--config.data.data_dir=x"]) == 1  # untrained
    runs = [
        [row["runs"] for row in json.loads(text)["rows"]] for text in (recorded, path.read_text())
    ]
    assert runs[0] == runs[1]


def test_the_recipe_is_for_small_configs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tiny.ROOT)
    with pytest.raises(SystemExit):
        main(["recipe", "--scale=paper", f"--workdir={tmp_path}", f"--output={tmp_path}"])
    assert "recipe is a study of the small configs" in capsys.readouterr().err
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
        "binary/our",
        "binary/last_frame",
        "binary/linear_motion",
    ]
