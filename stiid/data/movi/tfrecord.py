"""Read TFRecord files with random access and without TensorFlow.

A record is the number of its bytes (uint64), a checksum of that number, the bytes, and a checksum
of them; all little-endian. A checksum is CRC-32C, rotated and offset.
"""

import functools
import struct
from pathlib import Path

from stiid.data.movi.crc32c import crc32c
from stiid.errors import first_line, remedy

_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")
_AGAIN = "download it again"


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord stores it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def count_records(path: Path) -> int:
    """Number of records in a file; errors as in `read_record`."""
    return len(_places(path))


def read_record(path: Path, number: int) -> bytes:
    """Read the bytes of a record, and test its checksum.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged. The message names it and the record.
    """
    start, size = _places(path)[number]
    try:
        with path.open("rb") as file:
            file.seek(start)
            data, footer = file.read(size), file.read(_FOOTER.size)
    except OSError as error:
        raise ValueError(_unreadable(path, error)) from error
    if _FOOTER.unpack(footer) != (masked_crc32c(data),):
        raise ValueError(f"{path}: the checksum of record {number} is wrong: {_AGAIN}")
    return data


def _places(path: Path) -> list[tuple[int, int]]:
    """Start and number of bytes of each record."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: download it")
    state = path.stat()
    return _walk(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _walk(path: Path, size: int, changed: int) -> list[tuple[int, int]]:
    """The places, from one pass over the headers; kept while the file stays as it is."""
    del changed
    places: list[tuple[int, int]] = []
    position = 0
    try:
        with path.open("rb") as file:
            while position < size:
                file.seek(position)
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    raise ValueError(f"{path} ends within record {len(places)}: {_AGAIN}")
                count, checksum = _HEADER.unpack(header)
                if checksum != masked_crc32c(header[:8]):
                    raise ValueError(
                        f"{path} is no TFRecord file, or damaged before record {len(places)} (the "
                        f"checksum of its length is wrong): {_AGAIN}"
                    )
                start = position + _HEADER.size
                position = start + count + _FOOTER.size
                if position > size:
                    raise ValueError(f"{path} ends within record {len(places)}: {_AGAIN}")
                places.append((start, count))
    except OSError as error:
        raise ValueError(_unreadable(path, error)) from error
    return places


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path} cannot be read ({first_line(error)}): {remedy(error, _AGAIN)}"
