"""From the rows of a table to its files, on the tiny experiment."""

import dataclasses
import json

import pytest
import tiny
from rows import CONFIG, tiny_row

from experiments import commands
from experiments.commands import CommandError
from experiments.markdown import table
from experiments.records import spread
from experiments.result import (
    PaperResult,
)
from experiments.run import main, make
from experiments.systems import decomposition_scores

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


@pytest.mark.slow
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
