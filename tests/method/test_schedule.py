"""Oracles: the schedules of section 3.2.1 and Table 5, written out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stiid.method.schedule import GRIDS, Run, runs, schedule


@pytest.mark.parametrize(
    ("grid", "refinements", "num_frames", "expected"),
    [
        ("triangular", 6, 10, (6, 5, 4, 3, 2, 1, 1, 1, 1, 1)),
        ("triangular", 3, 2, (3, 2)),
        ("triangular", 3, 3, (3, 2, 1)),
        ("triangular", 1, 4, (1, 1, 1, 1)),
        ("alternative", 6, 10, (6, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
        ("alternative", 3, 1, (3,)),
        ("full", 5, 3, (5, 5, 5)),
    ],
)
def test_schedules_of_the_paper(grid, refinements, num_frames, expected):
    assert schedule(grid, refinements=refinements, num_frames=num_frames) == expected


@given(refinements=st.integers(1, 12), extra=st.integers(0, 60))
def test_triangular_grid_costs_r_squared_plus_t(refinements, extra):
    num_frames = refinements + extra
    counts = schedule("triangular", refinements=refinements, num_frames=num_frames)
    assert sum(counts) == refinements * (refinements + 1) // 2 + num_frames - refinements


@given(st.sampled_from(GRIDS), st.integers(1, 8), st.integers(1, 20), st.integers(1, 10))
def test_a_longer_video_has_the_same_schedule_to_begin_with(grid, refinements, frames, more):
    short = schedule(grid, refinements=refinements, num_frames=frames)
    longer = schedule(grid, refinements=refinements, num_frames=frames + more)
    assert longer[:frames] == short


def test_runs_group_equal_counts():
    assert runs((3, 2, 1, 1, 1)) == (Run(0, 1, 3), Run(1, 1, 2), Run(2, 3, 1))
    assert runs((5, 5, 5)) == (Run(0, 3, 5),)
    assert runs(()) == ()


@given(st.lists(st.integers(1, 3), max_size=12))
def test_runs_unroll_to_the_schedule(counts):
    groups = runs(tuple(counts))
    assert [group.refinements for group in groups for _ in range(group.length)] == counts
    starts = [sum(group.length for group in groups[:i]) for i in range(len(groups))]
    assert [group.start for group in groups] == starts
    assert all(a.refinements != b.refinements for a, b in itertools.pairwise(groups))


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match=r"grid: expected one of .*triangular.*got 'square'"):
        schedule("square", refinements=2, num_frames=2)
    with pytest.raises(ValueError, match=r"got R = 0 and T = 2"):
        schedule("full", refinements=0, num_frames=2)
    with pytest.raises(ValueError, match=r"got R = 2 and T = 0"):
        schedule("full", refinements=2, num_frames=0)
