"""The command ``stiid``: the flags it passes on, its output, and its answers to mistakes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from stiid.cli import console, modes, overrides
from stiid.cli import main as main_module
from stiid.config.experiment import Experiment
from stiid.data.video.frames import SAMPLE, read_video
from stiid.training.locate import locate


@pytest.fixture
def handed_on(monkeypatch, tmp_path):
    """Flags of ``python -m stiid.main`` for a command line; run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments):
        found = []
        monkeypatch.setattr(main_module, "cli", found.extend)
        assert console.main(arguments) == 0
        assert found.pop(0) == "stiid"
        return found

    return call


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        (
            "eval small_color --split=test --clips=8 --frames=10 --num_slots=6 --restarts=1",
            "--mode=eval --checkpoint=stiid://small_color --workdir=runs/small_color "
            "--config.evaluate.split=test "
            "--config.evaluate.clips=8 --config.evaluate.lengths=10 "
            "--config.evaluate.num_slots=6 --config.evaluate.restarts=1",
        ),
        (
            "predict stiid://quickstart --clips=1 --observed=5 --frames=3 --workdir=out",
            "--mode=predict --checkpoint=stiid://quickstart --workdir=out "
            "--config.predict.clips=1 --config.predict.num_observed=5 "
            "--config.predict.num_simulated=3",
        ),
        (
            "decompose stiid://sample --crop=0,0,8,8 --stride=2 --config.evaluate.seed=1 "
            "--traceback",
            "--mode=decompose --checkpoint=stiid://masks_small_color "
            "--workdir=runs/masks_small_color --input=stiid://sample --crop=0,0,8,8 --stride=2 "
            "--traceback --config.evaluate.seed=1",
        ),
    ],
)
def test_commands_are_modes_of_released_models(handed_on, line, flags):
    assert sorted(handed_on(*line.split())) == sorted(flags.split())


def test_a_run_keeps_its_results(handed_on, trained):
    assert handed_on("eval", str(trained), "--checkpoint=best") == [
        "--mode=eval",
        "--checkpoint=best",
        f"--workdir={trained}",
    ]


@pytest.mark.parametrize(("given", "which"), [([], "latest"), (["--checkpoint=best"], "best")])
def test_results_of_a_run_can_go_elsewhere(handed_on, trained, given, which):
    flags = handed_on("decompose", SAMPLE, f"--model={trained}", "--workdir=out", *given)
    checkpoint = trained / "checkpoints" / which
    assert sorted(flags) == [
        f"--checkpoint={checkpoint}",
        f"--input={SAMPLE}",
        "--mode=decompose",
        "--workdir=out",
    ]
    assert locate(Path("out"), str(checkpoint)) == (trained / "checkpoints", which)


def test_training_goes_to_a_folder_of_the_config(handed_on, tmp_path):
    (tmp_path / "mine.py").write_text("")
    assert handed_on("train", "mine.py:small", "--num_processes=2") == [
        "--mode=train",
        "--workdir=runs/mine-small",
        "--config=mine.py:small",
        "--num_processes=2",
    ]
    config = tiny.ROOT / "configs" / "quickstart.py"
    assert handed_on("train", "quickstart", "--workdir=w", "--config.seed=1") == [
        "--mode=train",
        "--workdir=w",
        f"--config={config}",
        "--config.seed=1",
    ]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("eval nothing", r"'nothing' is neither the folder of a run nor a released model \(.*\)"),
        ("eval small_colour", r"'small_colour' is neither .*\): did you mean small_color\?"),
        ("train nothing", r"no config file nothing: name a file, or one of .*quickstart.*"),
        ("train x/own_videos.py:fast", r"no config file x/own_videos.py: .*mean own_video\?"),
        ("config nothing", r"'nothing' is neither .*"),
        ("eval quickstart --checkpoint=best", r"--checkpoint needs the folder of a run.*"),
        ("config quickstart --config.evaluate.restart=1", r".*no field 'restart': expected one .*"),
    ],
)
def test_mistakes_are_answered_by_one_line(capsys, monkeypatch, line, answer):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert console.main(line.split()) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"error: {answer}\n", err)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (
            "decompose a.mp4 --modle=small_color",
            "stiid decompose has no option --modle: did you mean --model?",
        ),
        (
            "eval quickstart --xyz 3",
            "stiid eval has no option --xyz: `stiid eval --help` shows all",
        ),
        (
            "decompose a.mp4 b.mp4",
            "stiid decompose has no argument b.mp4: `stiid decompose --help` shows all",
        ),
        (
            "eval quickstart --config.evaluate.restarts 2",
            "--config.evaluate.restarts: write its value after =, as in "
            "--config.evaluate.restarts=VALUE",
        ),
    ],
)
def test_unknown_options_are_answered_by_one_line(capsys, monkeypatch, line, answer):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert console.main(line.split()) == 2
    assert capsys.readouterr().err == f"error: {answer}\n"


@pytest.mark.parametrize(
    ("video", "answer"),
    [
        ("nowhere.mp4", r"no video at .*/nowhere\.mp4: check the path"),
        ("stiid://sampl", "no video at stiid://sampl: the only one in the package is .*"),
        ("https://a.org/b.mp4", "video=https://a.org/b.mp4: only local paths are read .*"),
    ],
)
def test_a_wrong_path_is_told_before_anything_is_loaded(tmp_path, video, answer):
    program = (
        "import sys\nfrom stiid.cli import console\n"
        f"code = console.main(['decompose', {video!r}])\n"
        "assert 'jax' not in sys.modules\nsys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tiny.ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program],
        **{"cwd": tmp_path, "env": environment, "capture_output": True, "check": False},
    )
    assert result.returncode == 1
    assert re.fullmatch(f"error: {answer}\n", result.stderr.decode())


def test_without_a_command_there_is_the_help(capsys):
    assert console.main([]) == 2
    text = capsys.readouterr().err
    assert "usage: stiid" in text
    assert "\nreleased models: clevrer_small, " in text


def test_every_command_has_a_help(capsys):
    with pytest.raises(SystemExit):
        console.main(["--help"])
    text = capsys.readouterr().out
    commands = (
        "train",
        "eval",
        "predict",
        "decompose",
        "import",
        "config",
        "score",
        "data",
        "report",
    )
    for command in commands:
        assert re.search(rf"^    {command} ", text, re.MULTILINE) or f"    {command}\n" in text
        with pytest.raises(SystemExit) as exit_:
            console.main([command, "--help"])
        assert exit_.value.code == 0
        assert f"usage: stiid {command}" in capsys.readouterr().out


def test_a_config_is_printed_whole(capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert console.main(["config", "tests/tiny.py", "--config.evaluate.restarts=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "model.num_slots = 3" in {line.partition("  #")[0] for line in lines}
    assert any(line.startswith("evaluate.restarts = 7") for line in lines)
    assert any(line.startswith("model.inference.remat = ") for line in lines)


def test_a_field_that_follows_another_follows_what_replaces_it(capsys, monkeypatch, tmp_path):
    """K at test is that of training, unless the file says otherwise."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "mine.py"
    file.write_text("def get_config():\n    return {'data': {'name': 'bouncing_balls'}}\n")
    for fields, expected in [([], 5), (["--config.model.num_slots=9"], 9)]:
        assert console.main(["config", str(file), *fields]) == 0
        lines = [line.partition("  #")[0] for line in capsys.readouterr().out.splitlines()]
        assert f"model.num_slots = {expected}" in lines
        assert f"evaluate.num_slots = {expected}" in lines


def test_help_needs_no_jax():
    program = (
        "import sys\nfrom stiid.cli import console\n"
        "try:\n    console.main(['eval', '--help'])\n"
        "except SystemExit:\n    sys.exit('jax' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tiny.ROOT, capture_output=True, check=False
    )
    assert result.returncode == 0


# --- fields of a stored config --------------------------------------------------------------------


def experiment(data_dir="~"):
    return tiny.experiment(data_dir)


def test_fields_are_changed_in_the_type_that_they_have():
    fields = {
        "evaluate.restarts": ("4", 4),
        "evaluate.lengths": ("3", (3,)),
        "evaluate.noise": ("all", "all"),
        "model.inference.gradient_clamp": ("2.5", 2.5),
        "model.inference.remat": ("true", True),
        "data.options.colors": ("binary", "binary"),
        "data.data_dir": ("7", "7"),
    }
    texts = [f"--config.{name}={text}" for name, (text, _) in fields.items()]
    changed = overrides.changed(experiment(), texts)
    assert isinstance(changed, Experiment)
    for name, (_, value) in fields.items():
        found = changed
        for part in name.split("."):
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        assert found == value
    assert changed.model.num_slots == experiment().model.num_slots
    assert overrides.changed(experiment(), []) == experiment()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--config.evaluate.restart=1", "there is no field 'restart': expected one of split, "),
        ("--config.evaluat.restarts=1", "there is no field 'evaluat': expected one of seed, "),
        ("--config.seed.x=1", "there is no field 'x'"),
        ("--config.evaluate.restarts=many", "evaluate.restarts: expected int, got 'many'"),
        ("--config.evaluate.restarts=0", "evaluate.restarts must be at least 1, got 0"),
        ("--config.evaluate.restarts", "expected --config.section.field=value, got"),
    ],
)
def test_wrong_fields_are_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        overrides.changed(experiment(), [text])


@pytest.mark.slow
def test_a_stored_config_is_changed_for_an_evaluation(trained, tmp_path):
    """As a process, without --config; the checkpoint's own config stays what it was."""
    before = tiny.contents(trained)
    command = [sys.executable, "-m", "stiid.main", "--mode=eval", f"--checkpoint={trained}"]
    command += [f"--workdir={tmp_path}", "--config.evaluate.lengths=3", "--config.evaluate.clips=4"]
    subprocess.run(command, cwd=tiny.ROOT, env=tiny.environment(), check=True, capture_output=True)
    scores = tiny.scores(tmp_path)
    assert list(scores["lengths"]) == ["3"]
    assert scores["clips"] == 4
    assert tiny.contents(trained) == before


def test_models_refuse_fields_that_they_were_trained_with(trained, tmp_path):
    with pytest.raises(ValueError, match=r"model\.latent_size is 4 there and 5 here"):
        modes.run(
            "eval",
            None,
            workdir=str(tmp_path),
            checkpoint=str(trained),
            fields=["--config.model.latent_size=5"],
        )


# --- the clip in the package ----------------------------------------------------------------------


def test_the_sample_is_small_and_has_moving_things():
    video = read_video(SAMPLE)
    assert video.shape == (40, 128, 128, 3)
    assert (video > 128).any(-1).mean() > 0.03
    assert (video[0] != video[-1]).mean() > 0.03
    assert (tiny.ROOT / "stiid" / "data" / "video" / "sample.mp4").stat().st_size < 100_000


def test_the_sample_is_packaged():
    text = (tiny.ROOT / "pyproject.toml").read_text()
    assert "data/video/sample.mp4" in text
