"""A short soak: a seed decides which faults are tried, and all of them are survived."""

import json
import os
import random
import subprocess
import sys
import time

import pytest
import tiny

from experiments.benchmarks.faults.fault import Fault, check_message, refusal
from experiments.benchmarks.faults.flips import Flips
from experiments.benchmarks.faults.inputs import Inputs
from experiments.benchmarks.faults.mutations import mutated

# What Orbax leaves behind when it cannot read is no fault of ours.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("kind", [Flips, Inputs])
def test_damage_is_survived(tmp_path, kind):
    faults = kind(tmp_path)
    try:
        for number in range(10):
            faults.attempt(random.Random(number))
    finally:
        faults.close()


@pytest.mark.slow
def test_a_short_soak_survives_all(tmp_path):
    """As a command, which forks: one process that is killed, one that gets signals, and so on."""
    output = tmp_path / "faults.json"
    command = [sys.executable, "-m", "experiments.benchmarks.faults", "--count=1", "--seed=1"]
    result = subprocess.run(
        [*command, f"--output={output}"],
        cwd=tiny.ROOT,
        env=tiny.environment(),
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["kills", "signals", "disks", "flips", "inputs"]
    assert all(line[1] == line[3] == "1" for line in lines)
    assert all(tally["faults"] == [] for tally in json.loads(output.read_text()).values())


# --- what finds faults can find them --------------------------------------------------------------


def _until_a_fault(faults):
    for number in range(300):
        faults.attempt(random.Random(number))


def test_damage_that_nobody_looks_for_is_found(tmp_path, monkeypatch):
    """Without digests a flipped bit is another number."""
    faults = Flips(tmp_path)
    monkeypatch.setattr("stiid.training.checkpoints.Checkpoints._check", lambda *args, **_: None)
    with pytest.raises(Fault, match="a difference in silence: 2/"):
        _until_a_fault(faults)


def test_errors_of_readers_are_of_one_kind():
    with refusal():
        raise ValueError("a.json holds 3, expected an object")
    for error in (ZeroDivisionError("division by zero"), RecursionError("too deep")):
        with pytest.raises(Fault, match=type(error).__name__), refusal():
            raise error
    for text in ("", "one\ntwo", "a" * 3000, "Traceback (most recent call last)"):
        with pytest.raises(Fault, match="no message of one line"):
            check_message(text)


def test_mutations_follow_from_their_seed():
    content = b'{"a": [1, 2.5, "b"], "c": null}' * 3
    first, again, other = (mutated(content, random.Random(n), text=True) for n in (1, 1, 2))
    assert first == again != other
    assert content != first


class Crashing:
    """Attempts that end their process, hang it, fail, and succeed, one after the other."""

    def __init__(self, folder):
        self.number = int(folder.name)

    def attempt(self, chance):
        if self.number == 1:
            os._exit(3)
        if self.number == 2:
            time.sleep(100)
        if self.number == 3:
            self.number = 4
            raise Fault("a fault")

    def close(self):
        pass


@pytest.mark.slow
def test_a_worker_outlives_crashes_and_hangs(tmp_path):
    """In a process of its own: it forks, which JAX's threads here do not like."""
    program = (
        "import random, pathlib, sys; sys.path[:0] = ['tests', 'tests/experiments']\n"
        "from experiments.benchmarks.faults import fault, worker\n"
        "import test_faults\n"
        "worker.LIMIT = 0.5\n"
        "crashing = worker.Worker(test_faults.Crashing, pathlib.Path(sys.argv[1]))\n"
        "for _ in range(4):\n"
        "    try:\n        crashing.attempt(random.Random(0)); print('survived')\n"
        "    except fault.Fault as found: print(found)\n"
        "crashing.close()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=tiny.ROOT,
        env=tiny.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.stdout.splitlines() == [
        "the process ended with 3",
        "nothing for 0 s",
        "a fault",
        "survived",
    ], result.stderr
