"""The grid of refinements: how often each frame's posterior is refined (section 3.2.1, Table 5)."""

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from stiid.method.options import Options

GRIDS = ("triangular", "alternative", "full", "trailing")


@dataclass(frozen=True, kw_only=True)
class GridOptions(Options):
    """The grid of refinements.

    Attributes:
      refinements: R. Paper: 6 on Bouncing Balls, 5 on CLEVRER.
      grid: see ``schedule``.
    """

    refinements: int = 6
    grid: str = "triangular"

    def __post_init__(self) -> None:
        """Refuse an unknown grid, and one without refinements."""
        super().__post_init__()
        self._check_choice("grid", GRIDS)
        if self.refinements < 1:
            raise ValueError(f"inference.refinements must be at least 1, got {self.refinements}")
        if self.grid == "trailing" and self.refinements < 2:
            raise ValueError("inference: grid='trailing' needs refinements of 2 or more, got 1")


class Run(NamedTuple):
    """Consecutive frames with the same number of refinements: one ``lax.scan``."""

    start: int
    length: int
    refinements: int
    last_decode: bool = True  # see ``inference.Inference.decodes``


def schedule(grid: str, *, refinements: int, num_frames: int) -> tuple[int, ...]:
    """Number of refinements R̂_t of each frame.

    Args:
      grid: "triangular": R̂ = max(R − t, 1), the paper's, R(R+1)/2 + T − R refinements in all of
        T ≥ R frames; "alternative": R at t = 0, then 1 (Table 5); "full": R for every frame (the
        ablation without the grid, and IODINE; with R = 1 SEQ-IODINE); "trailing": R, then
        max(R + 1 − t, 2) (*authors' code*, whose R counts evaluations: one more than here). After
        frame 0 the last refinement follows the decode that gives the frame's result; of its
        outcome, the LSTM's states alone go on.
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
    if grid == "trailing":
        return (refinements, *(max(refinements + 1 - t, 2) for t in range(1, num_frames)))
    if grid == "triangular":
        return tuple(max(refinements - t, 1) for t in range(num_frames))
    if grid == "alternative":
        return (refinements, *(1 for _ in range(num_frames - 1)))
    return (refinements,) * num_frames


def runs(refinements: tuple[int, ...], decodes: tuple[bool, ...] = ()) -> tuple[Run, ...]:
    """Group a schedule into runs of equal R̂ and equal ends; without ``decodes``, all decode."""
    frames = list(zip(refinements, decodes or (True,) * len(refinements), strict=True))
    grouped = [len(list(equal)) for _, equal in groupby(frames)]
    starts = [sum(grouped[:i]) for i in range(len(grouped))]
    return tuple(
        Run(start, length, *frames[start]) for start, length in zip(starts, grouped, strict=True)
    )
