"""A short soak: a seed decides which faults are tried, and all of them are survived."""

import random

import pytest

from experiments.benchmarks import faults


@pytest.mark.parametrize("kind", [faults.flipped_bit, faults.pickled])
def test_damage_is_survived(tmp_path, kind):
    chance = random.Random(0)
    assert all(kind(chance, tmp_path) for _ in range(50))


@pytest.mark.slow
def test_a_short_soak_survives_all(capsys):
    assert faults.main(["--minutes=0.02", "--seed=1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    assert all(line[-4] == line[-2] != "0" for line in lines)
