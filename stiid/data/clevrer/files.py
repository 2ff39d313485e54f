"""The files of CLEVRER in a folder: the official archives, their unpacked content, or both."""

import contextlib
import copy
import functools
import logging
import lzma
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stiid.errors import remedy

KINDS = ("video", "annotation", "proposal")
SUFFIXES = {"video": ".mp4", "annotation": ".json", "proposal": ".json"}

_LOG = logging.getLogger("stiid")
_NAME = re.compile(r"(?:(video)_([0-9]{5})\.mp4|(annotation|proposal|sim)_([0-9]{5})\.json)")
_LARGEST = 256 * 2**20  # bytes of a file; the official ones have less than 1 % of that
# Errors of zipfile for damaged and encrypted archives, and for unknown kinds of compression.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, RuntimeError, ValueError, OverflowError),
)


class _Place(NamedTuple):
    path: Path
    member: str | None  # None: `path` is the file, not an archive that holds it
    state: tuple[int, int]  # size, and checksum or time of the last change


class ClevrerFiles:
    """The files of CLEVRER by their numbers, which are unique over the splits.

    Their names are `video_00123.mp4`, `annotation_00123.json`, and `proposal_00123.json` or
    `sim_00123.json`. They may lie at any depth, in folders of any name, also behind symbolic links,
    unpacked or in zip archives. No file is extracted under a name from an archive, and an archive
    with names that would lead out of its folder is refused. If a file is both unpacked and in an
    archive, the unpacked one is used. Broken links, pipes and devices are ignored with a warning.

    Args:
      folder: the folder of the files.

    Attributes:
      folder: as given.

    Raises:
      ValueError: if archives are damaged or unsafe, or a file exists twice. The message names all
        such archives.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._places: dict[str, dict[int, _Place]] = {kind: {} for kind in KINDS}
        archives = []
        for path in _walk(folder):
            is_archive = path.suffix.lower() == ".zip"
            named = _parse(path.name)
            if not (named or is_archive):
                continue
            if not path.is_file():
                _LOG.warning("left out %s: it is not a regular file", path)
            elif named:
                state = path.stat()
                self._add(*named, _Place(path, None, (state.st_size, state.st_mtime_ns)))
            else:
                archives.append(path)
        faults = []
        for path in archives:
            try:
                self._add_archive(path)
            except ValueError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))

    def numbers(self, kind: str) -> list[int]:
        """Numbers of all files of a kind, one of `KINDS`, in order."""
        return sorted(self._places[kind])

    def state(self, kind: str, number: int) -> tuple[int, ...]:
        """Size and checksum or time, which change with the file; () if there is no such file."""
        place = self._places[kind].get(number)
        return place.state if place else ()

    def name(self, kind: str, number: int) -> str:
        """Name of a file, or the name that it should have if there is no such file."""
        place = self._places[kind].get(number)
        if place is None:
            return f"{kind}_{number:05d}{SUFFIXES[kind]}"
        return PurePosixPath(place.member or place.path.name).name

    def read(self, kind: str, number: int) -> bytes:
        """Read the content of a file.

        Raises:
          ValueError: if there is no such file, or it is damaged.
        """
        place = self._places[kind].get(number)
        if place is None:
            raise ValueError(f"{self.name(kind, number)} is missing in {self.folder}")
        if place.state[0] > _LARGEST:
            raise ValueError(
                f"{self.name(kind, number)} has {place.state[0]} bytes, expected at most {_LARGEST}"
            )
        if place.member is None:
            return place.path.read_bytes()
        try:
            with _zip(place.path).open(place.member) as file:
                # The length stops the unpacking of archives that give a wrong size.
                return file.read(place.state[0])
        except _DAMAGED as error:
            raise ValueError(
                f"{place.member} in {place.path} cannot be read ({error}): "
                + remedy(error, "the archive is damaged")
            ) from error

    @contextlib.contextmanager
    def local(self, kind: str, number: int) -> Iterator[Path]:
        """Provide a path of the file: its own, or that of a temporary copy."""
        place = self._places[kind].get(number)
        if place and place.member is None:
            yield place.path
            return
        content = self.read(kind, number)
        with tempfile.TemporaryDirectory(prefix="stiid_") as folder:
            path = Path(folder, self.name(kind, number))
            path.write_bytes(content)
            yield path

    def only(self, number: int) -> "ClevrerFiles":
        """Copy with the files of one number only, which is small to send to another process."""
        files = copy.copy(self)
        files._places = {
            kind: {number: places[number]} if number in places else {}
            for kind, places in self._places.items()
        }
        return files

    def _add_archive(self, path: Path) -> None:
        try:
            members = _zip(path).infolist()
        except _DAMAGED as error:
            raise ValueError(
                f"{path} cannot be read as a zip archive ({error}): "
                + remedy(error, "download it again, or move it away")
            ) from error
        found: dict[str, set[int]] = {kind: set() for kind in KINDS}
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in member.filename:
                raise ValueError(
                    f"{path} contains {member.filename!r}, a name that leads out of the archive: "
                    "do not use it"
                )
            if named := _parse(parts[-1] if parts else ""):
                kind, number = named
                if number in found[kind]:
                    raise ValueError(f"{path} contains {parts[-1]} twice: remove one")
                found[kind].add(number)
                self._add(
                    kind, number, _Place(path, member.filename, (member.file_size, member.CRC))
                )

    def _add(self, kind: str, number: int, place: _Place) -> None:
        older = self._places[kind].setdefault(number, place)
        if older.path.resolve() == place.path.resolve():  # by another link
            return
        if place.member is None and older.path.name == place.path.name:
            raise ValueError(f"{older.path} and {place.path} are the same file twice: remove one")


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, in order; each folder is visited once, also if links lead to it."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        yield from (Path(place, name) for name in sorted(names))


def _zip(path: Path) -> zipfile.ZipFile:
    return _open_zip(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _open_zip(path: Path, changed: int) -> zipfile.ZipFile:
    """Open an archive and keep it open: listing its members takes longer than reading one."""
    del changed
    return zipfile.ZipFile(path)


def _parse(name: str) -> tuple[str, int] | None:
    match = _NAME.fullmatch(name)
    if not match:
        return None
    kind, number = (match[1], match[2]) if match[1] else (match[3], match[4])
    return kind.replace("sim", "proposal"), int(number)
