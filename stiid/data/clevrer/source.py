"""CLEVRER: objects that move, collide and occlude each other (Yi et al., ICLR 2020).

The paper's preprocessing (section 4.1, appendices B and C): 40 pixels are cropped at both sides of
the 480x320 videos, and the rest is scaled to 64x64. Training videos are split into shorter
sequences. Test clips are parts of the validation videos with at least 3 objects and motion.
"""

import dataclasses

from stiid.data.clevrer.annotations import FRAMES
from stiid.data.clevrer.builder import Clevrer, ClevrerConfig
from stiid.data.clevrer.camera import HEIGHT, WIDTH
from stiid.data.clevrer.clips import Cut
from stiid.data.clevrer.files import ClevrerFiles
from stiid.data.options import check_types
from stiid.data.source import Source
from stiid.data.splits import SPLITS
from stiid.data.stored import TfdsSource, prepare
from stiid.data.view import View
from stiid.paths import local_path

MASKS = ("annotations", "proposals")

_TRAIN, _TEST = range(10_000), range(10_000, 15_000)  # the official numbers
_HOST = "http://data.csail.mit.edu/clevrer"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClevrerSpec:
    """Folder of the official files, and how clips are cut from them.

    The split "train" is the official training videos without the last ones, which are "validation";
    "test" is the official validation videos (the official test videos have no annotations).
    Training clips are cut back to back. Every other video gives at most one clip: the earliest part
    with at least `min_objects` visible objects in every frame, one of which moves, or, with
    `all_in_view`, the part that the authors' code takes.

    Attributes:
      path: folder of the official archives, or of their unpacked content, see `ClevrerFiles`.
      crop: (left, top, width, height) of the window in pixels of the files.
      resolution: height and width of the result.
      stride: frames of the file per frame of a clip.
      frames: clip length T.
      train_frames: T of training clips; 0: the same as `frames`.
      objects: allowed numbers of different objects in validation and test clips.
      min_objects: see above. An object is visible if it has a pixel in the masks from
        annotations, inside the crop.
      min_speed: an object moves if it is faster than this over the floor, in units of the
        annotations.
      all_in_view: if not 0, clips begin with the first frame in which all objects of the video
        are inside the camera's view according to the annotations, if they stay there for this
        many frames (40 in the authors' code); `min_objects` and `min_speed` are then ignored.
      resize: "area" or "cubic" (the authors' code, with crop = (80, 0, 320, 320)), see `View`.
      masks: of validation and test: "annotations" (ray casting) or "proposals".
      train_masks: the same for training, or "none": annotations are then not needed.
      validation: number of training videos that are held out.
      limit: use the first `limit` videos of each split; 0 means all.

    Raises:
      TypeError: if a value has the wrong type.
      ValueError: if a value is out of range.
    """

    path: str = "clevrer"
    crop: tuple[int, ...] = (40, 0, 400, 320)
    resolution: int = 64
    stride: int = 1
    frames: int = 40
    train_frames: int = 0
    objects: tuple[int, ...] = (3, 4, 5)
    min_objects: int = 3
    min_speed: float = 0.02
    all_in_view: int = 0
    resize: str = "area"
    masks: str = "annotations"
    train_masks: str = "none"
    validation: int = 200
    limit: int = 0

    def __post_init__(self):
        check_types(self)
        self.view.window(HEIGHT, WIDTH)
        for name, least in (("frames", 1), ("train_frames", 0)):
            frames = getattr(self, name)
            if frames < least or (frames - 1) * self.stride >= FRAMES:
                raise ValueError(
                    f"{name} must be at least {least} and fit a video of {FRAMES} frames at stride "
                    f"{self.stride}, got {frames}"
                )
        if not self.objects or min(self.objects) < max(1, self.min_objects):
            raise ValueError(
                f"objects must be numbers of at least min_objects = {self.min_objects} and 1, "
                f"got {self.objects}"
            )
        for name in ("min_objects", "min_speed", "all_in_view", "validation", "limit"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name, known in (("masks", MASKS), ("train_masks", (*MASKS, "none"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")

    @property
    def view(self) -> View:
        """Conversion of a file's frames to frames of a clip."""
        size = self.resolution
        return View(
            height=size,
            width=size,
            channels=3,
            crop=self.crop,
            stride=self.stride,
            resize=self.resize,
        )

    def cut(self, split: str) -> Cut:
        """Options for cutting the clips of a split."""
        if split == "train":
            frames = self.train_frames or self.frames
            return Cut(view=self.view, frames=frames, masks=self.train_masks)
        return Cut(
            view=self.view,
            frames=self.frames,
            masks=self.masks,
            objects=self.objects,
            min_objects=self.min_objects,
            min_speed=self.min_speed,
            all_in_view=self.all_in_view,
        )

    def files(self) -> ClevrerFiles:
        """Find the official files; raises ValueError if an archive is damaged."""
        return ClevrerFiles(local_path(self.path, "path"))

    def numbers(self, split: str, files: ClevrerFiles) -> list[int]:
        """Numbers of the videos of a split.

        Raises:
          FileNotFoundError: if there are no videos, or no annotations or proposals for them.
          ValueError: if there is no such split, or `validation` leaves no training videos.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        official = _TEST if split == "test" else _TRAIN
        numbers = {
            kind: [number for number in files.numbers(kind) if number in official]
            for kind in self.cut(split).kinds
        }
        if not all(numbers.values()):
            raise FileNotFoundError(self._how_to_get(split, files))
        videos = numbers["video"]
        if split != "test":
            kept = max(0, len(videos) - self.validation)
            if split == "train" and not kept:
                raise ValueError(
                    f"validation = {self.validation} leaves none of {len(videos)} videos for "
                    "training: lower it"
                )
            videos = videos[:kept] if split == "train" else videos[kept:]
            if not videos:
                raise ValueError(
                    "there is no validation split, since validation = 0: raise it, or choose "
                    "another split"
                )
        return videos[: self.limit or None]

    def _how_to_get(self, split: str, files: ClevrerFiles) -> str:
        """Compose the error message for missing files: all that training, or a test, needs."""
        test = split == "test"
        official, part = ("validation", _TEST) if test else ("train", _TRAIN)
        splits = ("test",) if test else ("train", "validation")
        kinds = dict.fromkeys(kind for name in splits for kind in self.cut(name).kinds)
        missing = [
            kind for kind in kinds if not any(number in part for number in files.numbers(kind))
        ]
        archives = {
            "video": f"videos/{official}/video_{official}.zip",
            "annotation": f"annotations/{official}/annotation_{official}.zip",
            "proposal": "derender_proposals.zip",
        }
        addresses = " and ".join(f"{_HOST}/{archives[kind]}" for kind in missing)
        named = " and no ".join(f"{kind}s" for kind in missing)
        return (
            f"no {named} of CLEVRER for the {split} split in {files.folder}: put {addresses} "
            "there, as they are or unpacked, or name their folder by the option path "
            "(--config.data.options.path=FOLDER). Without a download, within some two minutes: "
            f"'python -m stiid.data render {files.folder} train=80 validation=10' writes a "
            "substitute of the same format"
        )


def open_clevrer(spec: ClevrerSpec, split: str, data_dir: str) -> Source:
    """Open a split, whose videos are decoded on first use."""
    files = spec.files()
    config = ClevrerConfig(
        cut=spec.cut(split), split=split, files=files, numbers=tuple(spec.numbers(split, files))
    )
    return TfdsSource(prepare(Clevrer, config=config, data_dir=data_dir), split)
