"""Commands of trainings: tried once, timed, ended with their runner, and noted."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from rows import tiny_row

from experiments import commands, runner
from experiments.commands import CommandError, run_once


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
    """If the system killed it, possibly out of memory, its last line is not taken as the error."""
    (tmp_path / "ended.py").write_text(
        "import os, sys; print('fine', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CommandError, match="ended was ended by signal 9"):
        run_once(tmp_path / "run", ["ended"])


SLOW = """
import os, pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5)
    pathlib.Path("saved").touch()
    os.write(2, b"saved\\n")  # the signal may come while "ready" is printed
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
