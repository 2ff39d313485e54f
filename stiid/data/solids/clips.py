"""Options and clips of the rendered substitute for CLEVRER."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from stiid.data.clevrer import camera
from stiid.data.solids.physics import Motion, simulate
from stiid.data.solids.scene import Scene, SceneLaw, draw_scene
from stiid.data.solids.shading import render
from stiid.data.splits import Counts, clip_rng
from stiid.data.view import View
from stiid.data.workers import ordered_map

_CLIPS_PER_PROCESS = 8  # fewer are not worth starting a process
_ATTEMPTS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class RenderedSpec(Counts, SceneLaw):
    """All options of a rendered data set: the law of its scenes and the fields below.

    Attributes:
      height, width: of a frame.
      crop: (left, top, width, height) of the window that is shown, in pixels of CLEVRER's 480x320
        frames, see `View`; () shows the whole frame. The default is the paper's.
      frames: clip length T, at 25 frames per second.
      train, validation, test: number of clips per split; a split of 0 clips does not exist.
      seed: not negative. Same seed, same clips (for one release of NumPy and MuJoCo).

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    height: int = 64
    width: int = 64
    crop: tuple[int, ...] = (40, 0, 400, 320)
    frames: int = 40
    train: int = 10_000
    validation: int = 1_000
    test: int = 1_000
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        self.view.window(camera.HEIGHT, camera.WIDTH)
        for name, least in (("frames", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        self.check_counts()

    @property
    def view(self) -> View:
        """Conversion of CLEVRER's frames to frames of this source."""
        return View(height=self.height, width=self.width, channels=3, crop=self.crop)

    @property
    def name(self) -> str:
        """A readable prefix and a hash of all fields."""
        fields = json.dumps(dataclasses.asdict(self), sort_keys=True)
        digest = hashlib.sha256(fields.encode()).hexdigest()[:12]
        objects = "-".join(map(str, self.num_objects))
        return f"{objects}objects_{self.width}x{self.height}_{self.frames}f_{digest}"


def clips(
    spec: RenderedSpec,
    split: str,
    *,
    start: int = 0,
    stop: int | None = None,
    processes: int = 1,
) -> Iterator[dict[str, Any]]:
    """Yield the clips start, start + 1, ..., stop - 1 of a split, without using the disk.

    Clip i depends only on (seed, split, i), the law, the frames and the view: not on start, stop or
    processes, and its motion does not depend on the view. Different splits and clips use different
    streams of random numbers by construction.

    Args:
      spec: the data set; of its counts only the default of `stop` is used.
      split: one of `SPLITS`.
      start: first clip.
      stop: one past the last clip; None means the end of the split.
      processes: maximum number of processes; fewer are started for few clips.

    Yields:
      video: uint8 [T, H, W, 3].
      masks: uint8 [T, H, W], 0 is the floor, 1..n_objects the object at the pixel's center.
      id: "<split>/<index>", six digits.
      n_objects: Number of objects; some may not be in view.
      positions: float32 [T, n, 2] centers (column, row) in pixels, also if hidden or out of view;
        pixel k spans [k, k + 1]. -1 if the center is not in front of the camera.
      visible: uint8 [T, n], 1 if the object has a pixel of the masks.
      locations, velocities: float32 [T, n, 3] in world coordinates, see `scene`.
      shapes, materials, colors: uint8 [n], indices in the constants of `scene`.
      Row k of all but the first four describes the object of id k + 1; rows past n_objects are 0.
      n is the largest number of objects of the law.
    """
    indices = range(start, spec.counts[split] if stop is None else stop)
    processes = min(processes, len(indices) // _CLIPS_PER_PROCESS)
    make = functools.partial(make_clip, spec, split)
    yield from ordered_map(make, indices, processes=processes)


def make_clip(spec: RenderedSpec, split: str, index: int) -> dict[str, Any]:
    """Make one of the clips that `clips` yields."""
    scene, motion = make_motion(spec, split, index, frames=spec.frames, seed=spec.seed)
    video, masks = render(scene, motion, spec.view)
    count = len(scene.shapes)
    ids = np.arange(1, count + 1)
    pixels = camera.project(motion.locations) - spec.view.origin(camera.HEIGHT, camera.WIDTH)
    positions = np.nan_to_num(pixels / spec.view.scale(camera.HEIGHT, camera.WIDTH), nan=-1.0)

    def padded(values: np.ndarray, dtype: type, axis: int = 1) -> np.ndarray:
        widths = [(0, 0)] * values.ndim
        widths[axis] = (0, spec.max_objects - count)
        return np.pad(values.astype(dtype), widths)

    return {
        "video": video,
        "masks": masks,
        "id": f"{split}/{index:06d}",
        "n_objects": count,
        "positions": padded(positions, np.float32),
        "visible": padded((masks[..., None] == ids).any((1, 2)), np.uint8),
        "locations": padded(motion.locations, np.float32),
        "velocities": padded(motion.velocities, np.float32),
        "shapes": padded(scene.shapes, np.uint8, axis=0),
        "materials": padded(scene.materials, np.uint8, axis=0),
        "colors": padded(scene.colors, np.uint8, axis=0),
    }


def make_motion(
    law: SceneLaw, split: str, index: int, *, frames: int, seed: int
) -> tuple[Scene, Motion]:
    """Sample the objects of a clip and simulate their motion.

    As in CLEVRER, every clip with two objects or more has a collision: starts are sampled until
    there is one, at most 8 times, which is enough unless there are few frames.
    """
    rng = clip_rng(seed, split, index)
    for _ in range(_ATTEMPTS):
        scene = draw_scene(law, rng, frames=frames)
        motion = simulate(scene, frames=frames)
        if motion.collisions or len(scene.shapes) == 1:
            break
    return scene, motion
