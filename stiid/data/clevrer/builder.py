"""CLEVRER's clips as a tfds data set, which leaves out broken videos and reports them."""

import dataclasses
import functools
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from stiid.data.clevrer.annotations import FRAMES
from stiid.data.clevrer.clips import KNOWN_BROKEN, Cut, cut_clips
from stiid.data.clevrer.files import ClevrerFiles
from stiid.data.stored import clip_info, clips_per_shard
from stiid.data.workers import available_cores, ordered_map

_WORTH_A_PROCESS = 32  # videos that take longer than starting a process
_LOG = logging.getLogger("stiid")


@dataclasses.dataclass(eq=False)
class ClevrerConfig(tfds.core.BuilderConfig):
    """A tfds config of one split, whose name contains a hash of all that decides its content.

    Splits are prepared one by one: a test set with other numbers of objects needs no new training
    set, and no training videos.
    """

    name: str = ""
    cut: Cut | None = None
    split: str = ""
    files: ClevrerFiles | None = None
    numbers: tuple[int, ...] = ()

    def __post_init__(self):
        assert self.cut is not None  # tfds wants a default for every field
        assert self.files is not None
        states = [
            (number, *(self.files.state(kind, number) for kind in self.cut.kinds))
            for number in self.numbers
        ]
        self.description = str(self.cut)
        content = json.dumps([self.description, self.split, states]).encode()
        view, digest = self.cut.view, hashlib.sha256(content).hexdigest()[:12]
        self.name = f"{self.split}_{view.width}x{view.height}_{self.cut.frames}f_{digest}"

    def __str__(self) -> str:
        return self.name


class Clevrer(tfds.core.ShardBasedBuilder):
    """Decodes the videos of a `ClevrerConfig`, shard after shard; needs no TensorFlow.

    Videos with a missing or broken file are left out, and reported once. An element has the fields
    that `source.Source` requires, and

        file: Name of the video file.
        first_frame: Number of the clip's first frame in the file.
        objects: Text: color, material and shape of the objects, in the order of their ids.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: Mapping[str, str] = {"1.0.0": "First version."}
    url_infos: Mapping[str, Any] = {}  # nothing is downloaded, see BouncingBalls

    def _info(self) -> tfds.core.DatasetInfo:
        cut: Cut = self.builder_config.cut
        return clip_info(
            self,
            "Clips cut from the videos of CLEVRER.",
            view=cut.view,
            frames=cut.frames,
            file=tfds.features.Text(),
            first_frame=tfds.features.Scalar(np.int32),
            objects=tfds.features.Text(),
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        del dl_manager
        config = self.builder_config
        cut: Cut = config.cut
        most = 1 if cut.objects else FRAMES // (cut.frames * cut.view.stride) + 1
        per_shard = clips_per_shard(cut.view, frames=cut.frames, clips=most)
        known = [number for number in config.numbers if number in KNOWN_BROKEN]
        numbers = [number for number in config.numbers if number not in KNOWN_BROKEN]
        tally = _Tally(config.name, total=len(numbers), known=len(known))
        if not numbers:
            tally.sum_up()
        # tfds reads the shards one after the other, so that they can share one iterator.
        results = ordered_map(
            functools.partial(_clips_or_reason, cut),
            ((config.files.only(number), number) for number in numbers),
            processes=min(available_cores(), 1 + len(numbers) // _WORTH_A_PROCESS),
        )
        return {
            config.split: [
                functools.partial(_examples, results, start, per_shard, tally)
                for start in range(0, len(numbers), per_shard)
            ]
        }


def _clips_or_reason(
    cut: Cut, video: tuple[ClevrerFiles, int]
) -> tuple[list[dict[str, Any]], str | None]:
    """Clips of a video, and the reason why there are none if the video is broken."""
    try:
        return cut_clips(*video, cut), None
    except ValueError as error:
        return [], " ".join(str(error).split())


def _examples(
    results: Iterator[tuple[list[dict[str, Any]], str | None]],
    start: int,
    count: int,
    tally: "_Tally",
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Examples of one shard: the clips of the next `count` videos, the first being `start`."""
    for video, (clips, reason) in enumerate(itertools.islice(results, count), start):
        for place, clip in enumerate(clips):
            yield (video << 32) + place, clip
        tally.count(len(clips), reason)
    tally.sum_up()


class _Tally:
    """Counter of videos and clips over all shards; reports videos that are left out, and totals."""

    def __init__(self, name: str, *, total: int, known: int):
        self._progress = tqdm(desc=f"Decoding {name}", total=total, unit="video")
        self._name, self._known = name, known
        self._clips, self._empty = 0, 0
        self._broken: list[str] = []

    def count(self, clips: int, reason: str | None) -> None:
        """Add a video with its number of clips, or with the reason why it is broken."""
        if reason is not None:
            self._broken.append(reason)
            _LOG.warning("left out a video: %s", reason)
        self._clips += clips
        self._empty += not clips and reason is None
        self._progress.update()

    def sum_up(self) -> None:
        """Report totals; to be called after every shard, has an effect after the last one only.

        Raises:
          ValueError: if there is no clip.
        """
        if self._progress.n < self._progress.total:
            return
        self._progress.close()
        counts = (
            f"{self._progress.total + self._known} videos, of which {self._known} are listed as "
            f"broken, {len(self._broken)} were found broken and {self._empty} have no suitable part"
        )
        if not self._clips:
            reason = f"; the first broken one: {self._broken[0]}" if self._broken else ""
            raise ValueError(f"{self._name}: there are no clips in {counts}{reason}")
        _LOG.info("%s: %d clips from %s", self._name, self._clips, counts)
