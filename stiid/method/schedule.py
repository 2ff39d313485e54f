"""The grid of refinements: how often each frame's posterior is refined (section 3.2.1, Table 5)."""

from itertools import groupby
from typing import NamedTuple

GRIDS = ("triangular", "alternative", "full")


class Run(NamedTuple):
    """Consecutive frames with the same number of refinements: one ``lax.scan``."""

    start: int
    length: int
    refinements: int


def schedule(grid: str, *, refinements: int, num_frames: int) -> tuple[int, ...]:
    """Number of refinements R̂_t of each frame.

    Args:
      grid: "triangular": R̂ = max(R − t, 1), the paper's, R(R+1)/2 + T − R refinements in all of
        T ≥ R frames; "alternative": R at t = 0, then 1 (Table 5); "full": R for every frame (the
        ablation without the grid, and IODINE; with R = 1 SEQ-IODINE).
      refinements: R ≥ 1.
      num_frames: T ≥ 1.
    """
    if grid not in GRIDS:
        raise ValueError(f"grid: expected one of {GRIDS}, got {grid!r}")
    if refinements < 1 or num_frames < 1:
        raise ValueError(
            f"a grid needs at least one refinement and one frame, got R = {refinements} "
            f"and T = {num_frames}"
        )
    if grid == "triangular":
        return tuple(max(refinements - t, 1) for t in range(num_frames))
    if grid == "alternative":
        return (refinements, *(1 for _ in range(num_frames - 1)))
    return (refinements,) * num_frames


def runs(refinements: tuple[int, ...]) -> tuple[Run, ...]:
    """Group a schedule into runs of equal R̂."""
    grouped = [len(list(frames)) for _, frames in groupby(refinements)]
    starts = [sum(grouped[:i]) for i in range(len(grouped))]
    return tuple(
        Run(start, length, refinements[start])
        for start, length in zip(starts, grouped, strict=True)
    )
