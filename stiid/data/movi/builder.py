"""Clips of MOVi as a tfds data set of ours, decoded once and written for random access."""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from stiid.data.movi.clip import CAMERA, LENS, read_clip
from stiid.data.movi.files import Place
from stiid.data.movi.tfrecord import count_records, read_record
from stiid.data.stored import clip_info, clips_per_shard, tensor
from stiid.data.view import View
from stiid.data.workers import available_cores, ordered_map

_WORTH_A_PROCESS = 64  # clips that take longer than starting a process
_Examples = Iterator[tuple[int, dict[str, Any]]]


@dataclasses.dataclass(eq=False)
class MoviConfig(tfds.core.BuilderConfig):
    """A tfds config of one split, whose name contains a hash of all that decides its content."""

    name: str = ""
    spec: Any = None  # a `source.MoviSpec`; tfds wants a default for every field
    split: str = ""
    places: tuple[Place, ...] = ()

    def __post_init__(self):
        spec = self.spec
        states = [
            (file.name, file.stat().st_size, file.stat().st_mtime_ns)
            for file in dict.fromkeys(place.file for place in self.places)
        ]
        self.description = str(spec)
        content = json.dumps([self.description, self.split, states]).encode()
        digest = hashlib.sha256(content).hexdigest()[:12]
        size = spec.resolution
        self.name = f"{spec.variant}_{self.split}_{size}x{size}_{spec.frames}f_{digest}"

    def __str__(self) -> str:
        return self.name


class Movi(tfds.core.ShardBasedBuilder):
    """Builder that decodes the records of a `MoviConfig`, in order; needs no TensorFlow.

    An element has the fields that `source.Source` requires, and those of `clip.read_clip`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: Mapping[str, str] = {"1.0.0": "First version."}
    url_infos: Mapping[str, Any] = {}  # nothing is downloaded, see `GeneratedBuilder`

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self.builder_config.spec
        camera = {
            f"camera_{name}": tensor((spec.frames, size), np.float32)
            for name, size in CAMERA.items()
        }
        return clip_info(
            self,
            "Clips of MOVi.",
            view=spec.view,
            frames=spec.frames,
            name=tfds.features.Text(),
            boxes=tensor((None, spec.frames, 4), np.float32),
            lens=tensor((len(LENS),), np.float32),
            **camera,
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], _Examples]]]:
        del dl_manager
        config = self.builder_config
        spec, count = config.spec, len(config.places)
        _check_counts(config.places)
        per_shard = clips_per_shard(spec.view, frames=spec.frames)
        # tfds reads the shards one after the other, so that they can share one iterator.
        clips = ordered_map(
            functools.partial(_clip, spec.view, spec.frames),
            config.places,
            processes=min(available_cores(), 1 + count // _WORTH_A_PROCESS),
        )
        numbered = _numbered(clips, config.split, count, shown=f"Decoding {config.name}")
        return {
            config.split: [
                functools.partial(itertools.islice, numbered, min(per_shard, count - start))
                for start in range(0, count, per_shard)
            ]
        }


def _numbered(clips: Iterator[dict[str, Any]], split: str, count: int, *, shown: str) -> _Examples:
    """All clips of a split with their numbers and ids; a progress bar counts them."""
    with tqdm(desc=shown, total=count, unit="clip") as progress:
        for number, clip in enumerate(clips):
            progress.update()
            yield number, {"id": f"{split}/{number:06d}", **clip}


def _check_counts(places: tuple[Place, ...]) -> None:
    """Refuse files with fewer records than dataset_info.json says, before hours of work."""
    last = {place.file: place.record for place in places}
    for file, record in last.items():
        if (found := count_records(file)) <= record:
            raise ValueError(
                f"{file} has {found} records, dataset_info.json says more: download it again"
            )


def _clip(view: View, frames: int, place: Place) -> dict[str, Any]:
    record = read_record(*place)
    try:
        return read_clip(record, view=view, frames=frames)
    except ValueError as error:
        raise ValueError(f"{place.file}, record {place.record}: {error}") from error
