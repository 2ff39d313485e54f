"""Bouncing Balls, simulated and colored.

The data of the paper's section 4 and appendix B: the binary sets of R-NEM (51 frames of 64x64, 50K
training clips with 4 balls, 10K test clips with 4 and with 6-8 balls) and their colored versions.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from stiid.data.balls import rendering
from stiid.data.balls.physics import Balls, BallsLaw, draw_balls, simulate, stack_balls
from stiid.data.splits import Counts, clip_rng
from stiid.data.view import View

_CLIPS_PER_SIMULATION = 256
_MOTION, _COLORS = 0, 1  # streams of a clip's random numbers; `r_nem_writer` uses stream 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class BallsSpec(Counts, BallsLaw):
    """All options of a Bouncing Balls data set: the law of motion and the fields below.

    The defaults are the binary 4-ball set of R-NEM.

    Attributes:
      colors: a color policy, see `rendering.draw_colors`.
      resolution: height and width in pixels.
      frames: clip length T.
      train, validation, test: number of clips per split; a split of 0 clips does not exist.
      seed: not negative. Same seed, same clips (for one NumPy release).

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    colors: str = "binary"
    resolution: int = 64
    frames: int = 51
    train: int = 50_000
    validation: int = 10_000
    test: int = 10_000
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        if self.colors not in rendering.COLOR_POLICIES:
            raise ValueError(
                f"colors must be one of {rendering.COLOR_POLICIES}, got {self.colors!r}"
            )
        for name, least in (("resolution", 1), ("frames", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        self.check_counts()
        capacity = rendering.color_capacity(self.colors)
        if capacity is not None and self.max_balls > capacity:
            raise ValueError(
                f"colors={self.colors!r} has {capacity} colors, too few for num_balls="
                f"{self.num_balls}: use fewer balls or a policy with repetition"
            )

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return rendering.color_channels(self.colors)

    @property
    def view(self) -> View:
        """Conversion of a video file's frames to frames of this source."""
        size = self.resolution
        return View(height=size, width=size, channels=self.channels, aspect="letterbox")

    @property
    def name(self) -> str:
        """A readable prefix and a hash of all fields."""
        values = dataclasses.asdict(self)
        if self.law == "rnem":
            del values["law"]  # keeps the names of data made before there was a choice of laws
        fields = json.dumps(values, sort_keys=True)
        digest = hashlib.sha256(fields.encode()).hexdigest()[:12]
        balls = "-".join(map(str, self.num_balls))
        return f"{balls}balls_{self.colors}_{self.resolution}px_{self.frames}f_{digest}"


def clips(
    spec: BallsSpec,
    split: str,
    *,
    start: int = 0,
    stop: int | None = None,
    chunk: int = _CLIPS_PER_SIMULATION,
) -> Iterator[dict[str, Any]]:
    """Yield the clips start, start + 1, ..., stop - 1 of a split, without using the disk.

    Clip i depends only on (seed, split, i), the law and the rendering: not on start, stop or chunk,
    and its motion does not depend on colors or resolution. Different splits and clips use different
    streams of random numbers by construction.

    Args:
      spec: the data set; of its counts only the default of `stop` is used.
      split: one of `SPLITS`.
      start: first clip.
      stop: one past the last clip; None means the end of the split.
      chunk: number of clips simulated together, which bounds the memory.

    Yields:
      video: uint8 [T, H, W, C], black background.
      masks: uint8 [T, H, W], 0 is background, 1..n_objects the ball, stable over the clip.
      id: "<split>/<index>", six digits.
      n_objects: Number of balls.
      positions: float32 [T, n, 2] centers (column, row) in pixels; pixel k spans [k, k + 1].
      velocities: float32 [T, n, 2] (column, row) pixels per frame.
      radii: float32 [n] pixels.
      colors: uint8 [n, C].
      Row k of the last four describes the ball of id k + 1; rows past n_objects are 0. n is the
      largest ball count of the law.
    """
    stop = spec.counts[split] if stop is None else stop
    scale = spec.resolution / spec.box
    for first in range(start, stop, chunk):
        indices = range(first, min(first + chunk, stop))
        starts = [draw_balls(spec, clip_rng(spec.seed, split, index, _MOTION)) for index in indices]
        balls = stack_balls(starts)
        path = simulate(spec, balls, num_frames=spec.frames)
        for row, index in enumerate(indices):
            centers, radii = path.positions[row], balls.radii[row]
            if spec.law == "ddpae":
                centers, radii = rendering.snap(
                    centers, radii, box=spec.box, resolution=spec.resolution
                )
            masks = rendering.render_masks(centers, radii, box=spec.box, resolution=spec.resolution)
            colors = _colors(spec, starts[row], clip_rng(spec.seed, split, index, _COLORS))
            yield {
                "video": rendering.paint(masks, colors, policy=spec.colors),
                "masks": masks,
                "id": f"{split}/{index:06d}",
                "n_objects": int(np.count_nonzero(balls.radii[row])),
                "positions": (path.positions[row] * scale).astype(np.float32),
                "velocities": (path.velocities[row] * scale).astype(np.float32),
                "radii": (balls.radii[row] * scale).astype(np.float32),
                "colors": colors,
            }


def _colors(spec: BallsSpec, balls: Balls, rng: np.random.Generator) -> np.ndarray:
    """Colors of one clip, padded with zeros to uint8 [n, C]."""
    count = int(np.count_nonzero(balls.radii))
    colors = np.zeros((spec.max_balls, spec.channels), dtype=np.uint8)
    colors[:count] = rendering.draw_colors(spec.colors, count, rng)
    return colors
