"""Bouncing Balls as published with R-NEM: HDF5 files, read in place.

`balls4mass64.h5`, `balls678mass64.h5` and `balls3curtain64.h5` (van Steenkiste et al., ICLR 2018)
have the groups `training`, `validation` and `test`, each with the datasets below. `r_nem_writer`
writes the same layout from our simulator.

========== ================== ====================================================================
features   [T, N, H, W, 1]    bool, a pixel is lit; T = 51
groups     [T, N, H, W, 1]    0 is background, 1..n the ball, stable over the clip
positions  [T, N, n, 2]       centers (column, row) in box units (not documented; not in every file)
velocities [T, N, n, 2]       box units per frame (likewise)
========== ================== ====================================================================
"""

import dataclasses
import os
import threading
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from stiid.data.balls import rendering
from stiid.data.balls.hdf5_file import check_storage, held, reading
from stiid.data.options import check_types
from stiid.data.splits import clip_rng
from stiid.data.view import View
from stiid.paths import local_path

GROUPS = {"train": "training", "validation": "validation", "test": "test"}
_CACHE_BYTES = 64 * 2**20  # for decompressed chunks, per dataset
_MAX_BALLS = 255
_RANKS = {"features": 5, "groups": 5, "positions": 4, "velocities": 4}
_OPTIONAL = ("positions", "velocities")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RNemSpec:
    """Options: the file to read, and the colors of its balls.

    Attributes:
      path: the file.
      colors: a color policy, see `rendering.draw_colors`. The paper colors the balls by the
        file's masks (appendix B).
      frames: the first `frames` of each clip are read; R-NEM trains on 31, the paper on 40.
      box: side of the box in the units of `positions`: 15 in the two-mass sets, 10 in the curtain
        set.
      resolution: height and width of the file's frames.
      seed: of the colors.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = "balls4mass64.h5"
    colors: str = "binary"
    frames: int = 51
    box: float = 15.0
    resolution: int = 64
    seed: int = 0

    def __post_init__(self):
        check_types(self)
        if self.colors not in rendering.COLOR_POLICIES:
            raise ValueError(
                f"colors must be one of {rendering.COLOR_POLICIES}, got {self.colors!r}"
            )
        if self.frames < 1 or self.box <= 0 or self.seed < 0 or self.resolution < 1:
            raise ValueError(
                "frames and resolution must be at least 1, box positive and seed not negative, "
                f"got {self.frames}, {self.resolution}, {self.box} and {self.seed}"
            )

    @property
    def view(self) -> View:
        """Conversion of a video file's frames to frames of this source."""
        channels = rendering.color_channels(self.colors)
        size = self.resolution
        return View(height=size, width=size, channels=channels, aspect="letterbox")


class RNemSource:
    """A split of an R-NEM file as a `source.Source`, which reads a clip when it is requested.

    An element has the fields of `bouncing_balls.clips`. `radii` are estimated from the largest
    area of each ball, sqrt(area / pi). `positions` and `velocities` are missing if the file has
    none; if it has, `radii` and `colors` are padded to the same number of balls.

    Args:
      spec: which file, and how.
      split: "train", "validation" or "test".

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged, or has another layout. The message names the dataset.
    """

    def __init__(self, spec: RNemSpec, split: str):
        if split not in GROUPS:
            raise ValueError(f"split must be one of {tuple(GROUPS)}, got {split!r}")
        path = local_path(spec.path, "path")
        if not path.is_file():
            raise FileNotFoundError(
                f"no R-NEM file at {path}: download it, or write one with "
                f"'python -m stiid.data simulate {path.stem} {path}'"
            )
        self._spec, self._split, self._path = spec, split, path
        self._file: h5py.File | None = None
        self._lock = threading.Lock()
        state = os.stat(path)
        self.fingerprint = (
            f"r_nem/{path.name}:{state.st_size}:{state.st_mtime_ns}:{spec.colors}:"
            f"{spec.frames}:{spec.box}:{spec.seed}:{split}"
        )
        with self._lock:
            self._count, self._balls = _check_layout(self._shapes(), spec, self._where())

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._count:
            raise IndexError(f"{self._where()} has clips 0..{self._count - 1}, got {index}")
        frames = self._spec.frames
        with self._lock:  # the threads of the pipeline share one file
            data = self._group()
            with reading(f"{self._where()}, clip {index}"):
                read = {name: data[name][:frames, index] for name in _RANKS if name in data}
        masks = _ids(read["groups"], where=f"{self._where()}/groups, clip {index}")[..., 0]
        balls, count = max(self._balls, int(masks.max())), int(masks.max())
        channels = rendering.color_channels(self._spec.colors)
        if self._spec.colors in ("binary", "white"):
            video = np.where(read["features"] > 0.5, np.uint8(255), np.uint8(0))
            video = np.repeat(video, channels, axis=-1)
            colors = np.zeros((balls, channels), np.uint8)
            colors[:count] = 255
        else:
            colors = self._colors(index, count, balls)
            video = rendering.paint(masks, colors, policy=self._spec.colors)
        areas = _areas(masks, balls + 1)[:, 1:].max(0)
        clip: dict[str, Any] = {
            "video": video,
            "masks": masks,
            "id": f"{self._split}/{index:06d}",
            "n_objects": count,
            "radii": np.sqrt(areas / np.pi).astype(np.float32),
            "colors": colors,
        }
        scale = self._spec.resolution / self._spec.box
        for name in ("positions", "velocities"):
            if name in read:
                with np.errstate(all="ignore"):
                    clip[name] = (read[name] * scale).astype(np.float32)
                if not np.isfinite(clip[name]).all():
                    raise ValueError(
                        f"{self._where()}/{name}, clip {index}: has values that are not finite"
                    )
        return clip

    def _colors(self, index: int, count: int, balls: int) -> np.ndarray:
        capacity = rendering.color_capacity(self._spec.colors)
        if capacity is not None and count > capacity:
            raise ValueError(
                f"{self._where()}: clip {index} has {count} balls, but colors="
                f"{self._spec.colors!r} has {capacity} colors: use a policy with repetition"
            )
        rng = clip_rng(self._spec.seed, self._split, index)
        colors = np.zeros((balls, rendering.color_channels(self._spec.colors)), np.uint8)
        colors[:count] = rendering.draw_colors(self._spec.colors, count, rng)
        return colors

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the datasets in the file, whose types and numbers of axes are checked."""
        group, where, shapes = self._group(), self._where(), {}
        with reading(where):
            present = {name: held(group, name) for name in sorted(group)}
        for name, rank in _RANKS.items():
            item = present.get(name)
            if item is None and name in _OPTIONAL:
                continue
            if not isinstance(item, h5py.Dataset):
                raise ValueError(f"{where} has no dataset {name!r}, only {list(present)}")
            with reading(f"{where}/{name}"):
                dtype, shapes[name] = item.dtype, item.shape
                check_storage(item)
            if len(shapes[name] or ()) != rank or dtype.kind not in "biuf":
                raise ValueError(
                    f"{where}/{name}: expected numbers with {rank} axes, got {dtype} {shapes[name]}"
                )
        return shapes

    def _group(self) -> h5py.Group:
        """The split's group; the file is opened on first use, so that a source can be pickled."""
        if self._file is None:
            with reading(str(self._path)):
                self._file = h5py.File(self._path, "r", rdcc_nbytes=_CACHE_BYTES)
        with reading(str(self._path)):
            group, names = held(self._file, GROUPS[self._split]), sorted(self._file)
        if not isinstance(group, h5py.Group):
            raise ValueError(
                f"{self._path} has no group {GROUPS[self._split]!r}, only {names}: "
                "choose another split or file"
            )
        return group

    def _where(self) -> str:
        return f"{self._path}/{GROUPS[self._split]}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def open_r_nem(spec: RNemSpec, split: str, data_dir: str) -> RNemSource:
    """Open a split in place; nothing is prepared."""
    del data_dir
    return RNemSource(spec, split)


def _check_layout(
    shapes: Mapping[str, tuple[int, ...]], spec: RNemSpec, where: str
) -> tuple[int, int]:
    """Check that datasets fit each other and the options; return numbers of clips and of balls."""
    frames, count, *image = shapes["features"]
    if not count:
        raise ValueError(f"{where} has no clips: choose another split or file")
    if tuple(image) != (spec.resolution, spec.resolution, 1):
        raise ValueError(
            f"{where}/features: expected {spec.resolution}x{spec.resolution} pixels of one channel "
            f"(option resolution), got {tuple(image)}"
        )
    if spec.frames > frames:
        raise ValueError(f"{where} has {frames} frames, got frames={spec.frames}: lower it")
    for name, shape in shapes.items():
        expected = (frames, count, *(image if len(shape) == 5 else (shape[2], 2)))
        if shape != expected:
            raise ValueError(f"{where}/{name}: expected shape {expected}, got {shape}")
        if len(shape) == 4 and shape[2] > _MAX_BALLS:
            raise ValueError(f"{where}/{name} has {shape[2]} balls, expected at most {_MAX_BALLS}")
    if len({shape[2] for shape in shapes.values() if len(shape) == 4}) > 1:
        raise ValueError(f"{where}: positions and velocities have different numbers of balls")
    if "positions" in shapes:
        return count, shapes["positions"][2]
    return count, 0


def _areas(masks: np.ndarray, count: int) -> np.ndarray:
    """Pixels [T, count] of the ids 0, 1, ... in every frame of masks [T, H, W]."""
    frame = np.arange(len(masks))[:, None, None] * count
    return np.bincount((frame + masks).ravel(), minlength=len(masks) * count).reshape(-1, count)


def _ids(groups: np.ndarray, *, where: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        rounded = np.round(groups) if groups.dtype.kind == "f" else groups
    if not ((rounded == groups).all() and groups.min() >= 0 and groups.max() <= _MAX_BALLS):
        raise ValueError(f"{where}: expected whole numbers from 0 to {_MAX_BALLS}")
    return rounded.astype(np.uint8)
