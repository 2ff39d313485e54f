"""When a run is killed: so long after its first step, whatever it has dropped before."""

import itertools

import pytest

from experiments.benchmarks import kill_and_resume


class Process:
    """One that lives until it is killed."""

    killed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def poll(self):
        return None

    def kill(self):
        self.killed = True


@pytest.mark.parametrize(
    ("counts", "looks"),
    [
        ([0, 0, 0, 1], 4),
        ([7, 7, 4, 4, 5], 5),  # two steps after the checkpoint are dropped, and come again
        ([7, 0, 0, 1], 4),  # killed before its first checkpoint: it starts anew
        ([7, 8], 2),  # none is dropped
    ],
)
def test_the_time_begins_with_the_first_step(tmp_path, monkeypatch, counts, looks):
    process, seen = Process(), []
    lengths = itertools.chain(counts, itertools.repeat(counts[-1]))

    def rows(workdir):
        seen.append(next(lengths))
        return [None] * seen[-1]

    monkeypatch.setattr(kill_and_resume, "_rows", rows)
    monkeypatch.setattr(kill_and_resume, "_start", lambda training, workdir: process)
    lived = kill_and_resume._run_and_kill([], tmp_path, after_first_step=0.0)
    assert lived >= 0
    assert process.killed
    assert len(seen) == looks
