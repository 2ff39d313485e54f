"""Find the files of a version of MOVi as TFDS writes it: dataset_info.json and shards."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from stiid.errors import first_line, remedy

_INFO = "dataset_info.json"
_SIZE = re.compile(r"(\d+)x\1")


class Place(NamedTuple):
    """Location of a clip."""

    file: Path
    record: int


def find_version(path: Path, variant: str, resolution: int) -> Path:
    """Find the folder of a version: the given one, or one in the folder that contains `movi_a` etc.

    Of several, choose the smallest images that are large enough, and the latest version.

    Raises:
      FileNotFoundError: if there is none.
    """
    if (path / _INFO).is_file():
        return path
    found = [
        (int(size[1]), info.parent)
        for info in path.glob(f"movi_{variant}/*/*/{_INFO}")
        if (size := _SIZE.fullmatch(info.parent.parent.name))
    ]
    if not found:
        name = f"movi_{variant}/128x128/1.0.0"
        raise FileNotFoundError(
            f"no MOVi-{variant.upper()} in {path}: put gs://kubric-public/tfds/{name} into "
            f"{path / name} (gsutil -m cp -r), or name another folder by the option path "
            "(--config.data.options.path=FOLDER)"
        )
    enough = [size for size, _ in found if size >= resolution]
    best = min(enough) if enough else max(size for size, _ in found)
    return max((folder for size, folder in found if size == best), key=_version)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.name))


def clip_places(folder: Path, variant: str, split: str, limit: int) -> list[Place]:
    """Locations of the clips of a split, in order.

    Args:
      folder: folder of a version.
      variant: "a" to "e", which the folder must have.
      split: its name.
      limit: largest number of clips, from the first on; 0: all.

    Raises:
      FileNotFoundError: if a shard is missing that has one of these clips.
      ValueError: if dataset_info.json is damaged, or there is no such split.
    """
    name, lengths = _read_info(folder / _INFO)
    if name != f"movi_{variant}":
        raise ValueError(f"{folder} holds {name}, not movi_{variant}: name another folder")
    if split not in lengths:
        raise ValueError(
            f"{name} has the splits {tuple(lengths)}, got {split!r}: choose one of them (only "
            "MOVi-C, D and E have a test split)"
        )
    shards = lengths[split]
    places: list[Place] = []
    for number, length in enumerate(shards):
        if limit and len(places) >= limit:
            break
        file = folder / f"{name}-{split}.tfrecord-{number:05d}-of-{len(shards):05d}"
        if not file.is_file():
            raise FileNotFoundError(
                f"no file {file}: download it, or use only the first {len(places)} clips (limit=N)"
            )
        places += [Place(file, record) for record in range(length)]
    return places[: limit or None]


def _read_info(path: Path) -> tuple[str, dict[str, list[int]]]:
    """Name of a data set, and the numbers of records of the shards of each split."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lengths = {
            split["name"]: [int(length) for length in split["shardLengths"]]
            for split in content["splits"]
        }
        return str(content["name"]), lengths
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be read ({first_line(error)}): " + remedy(error, "download it again")
        ) from error
