"""One file for several seeds, from runs that are written by hand."""

import json

import pytest

from experiments import commands, seeds
from experiments.commands import CommandError

# The sample standard deviation of 0.25 and 0.75 is sqrt(2 · 0.25²).
MSE = {0: 0.25, 1: 0.75}


def write_run(command):
    """What a training leaves; the mean squared error is of ``MSE``."""
    arguments = dict(word.lstrip("-").split("=", 1) for word in command[1:])
    folder = seeds.Path(arguments["workdir"])
    (folder / "eval").mkdir(parents=True)
    scores = {"mse": MSE[int(arguments["config.seed"])]}
    log = [
        {"split": "train", "step": 1, "time": 60.0, "mse": 1.0},
        {"split": "eval_4", "step": 1, "time": 90.0, "mse": 1.0},
        {"split": "train", "step": 2, "time": 120.0, "mse": 1.0},
        {"split": "eval_4", "step": 2, "time": 180.0, **scores},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    (folder / "run.json").write_text(json.dumps({"devices": ["cpu:0"]}))
    final = {"lengths": {"4": scores}, "step": 2, "clips": 8, "data": "tiny:validation"}
    (folder / "eval" / "metrics.json").write_text(json.dumps(final))


@pytest.fixture
def arguments(tmp_path):
    options = ["--config=c.py", f"--workdir={tmp_path}/runs", f"--output={tmp_path}/out.json"]
    return [*options, "--host_devices=1", "--seeds"]


def test_mean_and_spread_over_seeds(arguments, tmp_path, monkeypatch):
    """A seed that is complete is not trained again."""
    monkeypatch.setattr(commands, "_execute", write_run)
    assert seeds.main([*arguments, "1"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["scores"] == {"4": {"mse": "0.7500"}}
    assert seeds.main([*arguments, "0", "1"]) == 0
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["scores"] == {"4": {"mse": "0.5000 ± 0.3536"}}
    assert content["command"] == "python -m stiid.main --config=c.py --host_devices=1"
    run = content["seeds"]["0"]
    assert (run["devices"], run["clips"], run["step"]) == (1, 8, 2)
    assert [row["minute"] for row in run["evaluations"]] == [0.5, 2.0]
    assert [row["step"] for row in run["curve"]] == [1, 2]


@pytest.mark.parametrize("change", [{"step": 1}, {"lengths": {"4": {"mse": 0.5}}}])
def test_scores_of_a_later_evaluation_are_refused(arguments, tmp_path, monkeypatch, capsys, change):
    monkeypatch.setattr(commands, "_execute", write_run)
    assert seeds.main([*arguments, "0"]) == 0
    before = (tmp_path / "out.json").read_bytes()
    path = tmp_path / "runs" / "seed_0" / "eval" / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SystemExit):
        seeds.main([*arguments, "0"])
    assert "is not what training ended with" in capsys.readouterr().err
    assert (tmp_path / "out.json").read_bytes() == before


def test_a_training_that_fails(arguments, tmp_path, monkeypatch, capsys):
    def fail(command):
        raise CommandError("error: no such config")

    monkeypatch.setattr(commands, "_execute", fail)
    assert seeds.main([*arguments, "0"]) == 1
    assert capsys.readouterr().err == "seed 0: error: no such config\n"
    assert not (tmp_path / "out.json").exists()


def test_another_command_in_the_same_folder_is_refused(arguments, monkeypatch, capsys):
    monkeypatch.setattr(commands, "_execute", write_run)
    assert seeds.main([*arguments, "0"]) == 0
    with pytest.raises(SystemExit):
        seeds.main(["--train.typo", *arguments, "0"])
    assert "use another --workdir" in capsys.readouterr().err
