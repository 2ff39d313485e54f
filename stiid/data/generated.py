"""Storage and opening of data sets that are computed on first use."""

import abc
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from stiid.data.source import Source
from stiid.data.stored import TfdsSource, clips_per_shard, find_prepared, prepare

_Examples = Iterator[tuple[int, dict[str, Any]]]


@dataclasses.dataclass(eq=False)
class GeneratedConfig(tfds.core.BuilderConfig):
    """A tfds config that holds the options of a data set and is named after them."""

    name: str = ""
    spec: Any = None  # tfds wants a default for every field

    def __post_init__(self):
        self.name = self.spec.name
        self.description = json.dumps(dataclasses.asdict(self.spec))

    def __str__(self) -> str:
        return self.name


class GeneratedBuilder(tfds.core.ShardBasedBuilder):
    """Builder that writes clips to disk, in order, and reads them back; needs no TensorFlow.

    A `GeneratorBasedBuilder` would collect a whole split before writing it: in memory up to 1 GB,
    and through TensorFlow beyond. Here one shard is in memory at a time.

    Attributes:
      VERB: first word of the progress bar.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: Mapping[str, str] = {"1.0.0": "First version."}
    # Nothing is downloaded. Looking for checksums would need the package importlib_resources, which
    # tfds 4.9.10 uses but does not install.
    url_infos: Mapping[str, Any] = {}
    VERB: ClassVar[str]

    @abc.abstractmethod
    def _clips(self, split: str, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """The clips start, start + 1, ..., stop - 1 of a split."""

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], _Examples]]]:
        del dl_manager
        spec = self.builder_config.spec
        progress = tqdm(
            desc=f"{self.VERB} {self.name}/{spec.name}",
            total=sum(spec.counts.values()),
            unit="clip",
        )
        per_shard = clips_per_shard(spec.view, frames=spec.frames)
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

    def _examples(self, split: str, indices: Sequence[int], progress: tqdm) -> _Examples:
        made = self._clips(split, indices[0], indices[-1] + 1)
        for index, clip in zip(indices, made, strict=True):
            yield index, clip
            progress.update()
        if progress.n == progress.total:
            progress.close()


def open_generated(builder: type[GeneratedBuilder], spec: Any, split: str, data_dir: str) -> Source:
    """Open a split, which is generated on first use.

    For training, all splits are generated; a split for evaluation is generated alone if there is no
    complete data set.

    Args:
      builder: builder of the data set.
      spec: options of the data set.
      split: one of `SPLITS`.
      data_dir: directory of all prepared data.

    Raises:
      ValueError: if there is no such split.
      OSError: if the data cannot be written.
    """
    if not spec.counts.get(split):
        raise ValueError(
            f"split must be one of {tuple(name for name, count in spec.counts.items() if count)}, "
            f"got {split!r}: choose another one or set its number of clips"
        )
    whole = GeneratedConfig(spec=spec)
    there, name = find_prepared(builder, config=whole, data_dir=data_dir)
    if split == "train" or there:
        return TfdsSource(prepare(builder, config=whole, data_dir=data_dir), split)
    others = {name: 0 for name in spec.counts if name != split}
    alone = GeneratedConfig(spec=dataclasses.replace(spec, **others))
    source = TfdsSource(prepare(builder, config=alone, data_dir=data_dir), split)
    source.fingerprint = f"{name}:{split}"  # the clips are the same
    return source
