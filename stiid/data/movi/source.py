"""MOVi-A to MOVi-E: simulated objects that fall and collide (Greff et al., Kubric, CVPR 2022)."""

import dataclasses

from stiid.data.movi.builder import Movi, MoviConfig
from stiid.data.movi.files import clip_places, find_version
from stiid.data.options import check_types
from stiid.data.source import Source
from stiid.data.splits import SPLITS
from stiid.data.stored import TfdsSource, prepare
from stiid.data.view import View
from stiid.paths import local_path

VARIANTS = ("a", "b", "c", "d", "e")
FRAMES = 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoviSpec:
    """Folder of the published files, and what is taken of them.

    Splits are the published ones: "train" and "validation", and of C, D and E also "test", which
    has objects and backgrounds that the others do not have.

    Attributes:
      path: folder of a version, with `dataset_info.json` and the shards, such as
          `movi_a/128x128/1.0.0`; or the folder that `movi_a` is in.
      variant: "a" to "e".
      resolution: height and width of the result; images are shrunk by the mean over the area of
          a pixel.
      frames: the first frames of each clip, at most 24.
      limit: use the first `limit` clips of each split, and only the shards that hold them; 0
          means all.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = "movi"
    variant: str = "a"
    resolution: int = 128
    frames: int = FRAMES
    limit: int = 0

    def __post_init__(self):
        check_types(self)
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {VARIANTS}, got {self.variant!r}")
        if not 1 <= self.frames <= FRAMES:
            raise ValueError(f"frames must lie in [1, {FRAMES}], got {self.frames}")
        if self.limit < 0:
            raise ValueError(f"limit must not be negative, got {self.limit}")
        assert self.view

    @property
    def view(self) -> View:
        """Conversion of an image to a frame of a clip."""
        return View(height=self.resolution, width=self.resolution, channels=3)


def open_movi(spec: MoviSpec, split: str, data_dir: str) -> Source:
    """Open a split, whose images are decoded on first use."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    folder = find_version(local_path(spec.path, "path"), spec.variant, spec.resolution)
    places = tuple(clip_places(folder, spec.variant, split, spec.limit))
    config = MoviConfig(spec=spec, split=split, places=places)
    return TfdsSource(prepare(Movi, config=config, data_dir=data_dir), split)
