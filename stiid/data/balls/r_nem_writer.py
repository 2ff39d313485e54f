"""Writer of simulated balls in the layout of R-NEM's files, see `r_nem`."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.balls.physics import collided
from stiid.data.balls.r_nem import GROUPS
from stiid.data.splits import SPLITS, clip_rng
from stiid.files import atomic_path

_CLIPS_PER_WRITE = 64
_CURTAIN = 28 / 64  # side of the curtain, as a fraction of the frame's

# Options of the published sets; all of them have 50,000 / 10,000 / 10,000 clips.
SETS = {
    "balls4mass64": BallsSpec(),
    "balls678mass64": BallsSpec(num_balls=(6, 7, 8)),
    "balls3curtain64": BallsSpec(num_balls=(3,), box=10.0, radii=(1.2,), masses=(1.0,)),
}


def write_r_nem(path: Path, spec: BallsSpec, *, curtain: bool) -> None:
    """Write all splits of a simulated set; the file appears only when it is complete.

    The published files are not documented in full. Here a ball behind the curtain is hidden in
    `features` and in `groups`; `collisions` marks, in frame t, the balls that hit another ball
    since frame t - 1, and `events` says whether there are any. Each chunk of the file holds one
    clip, so that random access reads nothing else.

    Args:
      path: the file.
      spec: the balls; colors are ignored.
      curtain: hide a square, at a random place in each clip.

    Raises:
      OSError: if the file exists or cannot be written.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists: name another file, or move it away")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in dataclasses.asdict(spec).items():
            file.attrs[name] = value
        total = sum(spec.counts.values())
        with tqdm(desc=f"Writing {path.name}", total=total, unit="clip") as progress:
            for split in SPLITS:
                if spec.counts[split]:
                    _write_split(file.create_group(GROUPS[split]), spec, split, curtain, progress)


def _write_split(
    group: h5py.Group, spec: BallsSpec, split: str, curtain: bool, progress: tqdm
) -> None:
    frames, count, size, balls = spec.frames, spec.counts[split], spec.resolution, spec.max_balls
    layout = {
        "features": ((size, size, 1), np.bool_),
        "groups": ((size, size, 1), np.uint8),
        "collisions": ((size, size, 1), np.bool_),
        "events": ((1, 1, 1), np.bool_),
        "positions": ((balls, 2), np.float32),
        "velocities": ((balls, 2), np.float32),
    }
    for name, (shape, dtype) in layout.items():
        group.create_dataset(
            name,
            (frames, count, *shape),
            dtype,
            chunks=(frames, 1, *shape),
            compression="gzip",
            compression_opts=1,
        )
    for first in range(0, count, _CLIPS_PER_WRITE):
        stop = min(first + _CLIPS_PER_WRITE, count)
        rows = list(_rows(spec, split, first, stop, curtain))
        for name in layout:
            group[name][:, first:stop] = np.stack([row[name] for row in rows], axis=1)
        progress.update(stop - first)


def _rows(
    spec: BallsSpec, split: str, first: int, stop: int, curtain: bool
) -> Iterator[dict[str, Any]]:
    """Entries of the datasets for each clip, without the axis N."""
    scale = spec.box / spec.resolution
    for index, clip in enumerate(clips(spec, split, start=first, stop=stop), start=first):
        groups = clip["masks"]
        if curtain:
            groups = groups * _outside_curtain(spec, split, index)
        velocities = clip["velocities"] * scale
        hit = np.pad(collided(velocities), ((0, 0), (1, 0)))  # 0 is the background
        collisions = hit[np.arange(spec.frames)[:, None, None], groups]
        yield {
            "features": groups[..., None] > 0,
            "groups": groups[..., None],
            "collisions": collisions[..., None],
            "events": (hit.sum(1) > 0)[:, None, None, None],
            "positions": clip["positions"] * scale,
            "velocities": velocities,
        }


def _outside_curtain(spec: BallsSpec, split: str, index: int) -> np.ndarray:
    """Image uint8 [H, W] that is 0 behind the clip's curtain and 1 elsewhere."""
    rng = clip_rng(spec.seed, split, index, 2)  # `bouncing_balls` uses streams 0 and 1
    side = round(_CURTAIN * spec.resolution)
    top, left = rng.integers(spec.resolution - side + 1, size=2)
    seen = np.ones((spec.resolution, spec.resolution), np.uint8)
    seen[top : top + side, left : left + side] = 0
    return seen
