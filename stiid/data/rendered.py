"""The rendered stand-in for CLEVRER as a tfds data set."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm.auto import tqdm

from stiid.data.rendered_clips import RenderedSpec, clips
from stiid.data.source import Source, TfdsSource, prepare
from stiid.data.workers import available_processes

# tfds keeps the examples of one shard in memory until the shard is complete.
_SHARD_BYTES = 256 * 2**20


@dataclasses.dataclass(eq=False)
class RenderedConfig(tfds.core.BuilderConfig):
    """A tfds config that is named by, and consists of, a `RenderedSpec`."""

    name: str = ""
    spec: RenderedSpec = dataclasses.field(default_factory=RenderedSpec)

    def __post_init__(self):
        self.name = self.spec.name
        self.description = json.dumps(dataclasses.asdict(self.spec))

    def __str__(self) -> str:
        return self.name


class Rendered(tfds.core.ShardBasedBuilder):
    """Writes `rendered_clips.clips` to disk, in order, and reads them back without TensorFlow.

    One shard is in memory at a time; all cores that the process may use share the work.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: Mapping[str, str] = {"1.0.0": "First version."}
    url_infos: Mapping[str, Any] = {}  # nothing is downloaded

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self.builder_config.spec
        image, objects = (spec.frames, spec.height, spec.width), spec.max_objects

        def tensor(shape: tuple[int, ...], dtype: type) -> tfds.features.Tensor:
            return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")

        return tfds.core.DatasetInfo(
            builder=self,
            description="Spheres, cubes and cylinders that move and collide on a floor.",
            features=tfds.features.FeaturesDict(
                {
                    "video": tensor((*image, 3), np.uint8),
                    "masks": tensor(image, np.uint8),
                    "id": tfds.features.Text(),
                    "n_objects": tfds.features.Scalar(np.int32),
                    "positions": tensor((spec.frames, objects, 2), np.float32),
                    "visible": tensor((spec.frames, objects), np.uint8),
                    "locations": tensor((spec.frames, objects, 3), np.float32),
                    "velocities": tensor((spec.frames, objects, 3), np.float32),
                    "shapes": tensor((objects,), np.uint8),
                    "materials": tensor((objects,), np.uint8),
                    "colors": tensor((objects,), np.uint8),
                }
            ),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        del dl_manager
        spec = self.builder_config.spec
        progress = tqdm(
            desc=f"Rendering {self.name}/{spec.name}", total=sum(spec.counts.values()), unit="clip"
        )
        per_shard = max(1, _SHARD_BYTES // (spec.frames * spec.height * spec.width * 4))
        return {
            split: [
                functools.partial(
                    self._examples, split, range(start, min(start + per_shard, count)), progress
                )
                for start in range(0, count, per_shard)
            ]
            for split, count in spec.counts.items()
            if count
        }

    def _examples(
        self, split: str, indices: Sequence[int], progress: tqdm
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        spec = self.builder_config.spec
        made = clips(
            spec,
            split,
            start=indices[0],
            stop=indices[-1] + 1,
            processes=available_processes(),
        )
        for index, clip in zip(indices, made, strict=True):
            yield index, clip
            progress.update()
        if progress.n == progress.total:
            progress.close()


def open_rendered(spec: RenderedSpec, split: str, data_dir: str) -> Source:
    """Opens a split, which is rendered on first use.

    Raises:
        ValueError: If there is no such split.
        OSError: If the data cannot be written.
    """
    if not spec.counts.get(split):
        raise ValueError(
            f"split must be one of {tuple(name for name, count in spec.counts.items() if count)}, "
            f"got {split!r}: choose another one or set its number of clips"
        )
    config = RenderedConfig(spec=spec)
    return TfdsSource(prepare(Rendered, config=config, data_dir=data_dir), split)
