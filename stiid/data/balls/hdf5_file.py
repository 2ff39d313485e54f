"""HDF5 files of unknown origin: members that lie in the file itself, and errors of one kind."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from stiid.errors import remedy

_LARGEST_CHUNK = 2**30  # bytes; it is decompressed as a whole


class _Refused(ValueError):
    """What a whole file must not hold."""


def held(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """A member of a group that lies in this file, None if there is no such member.

    Raises:
        _Refused: If it is a link, which may lead to any file of this user.
    """
    link = group.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise _Refused(f"{name} is a link to another place, which is not followed")
    return group.get(name)


def check_storage(dataset: h5py.Dataset) -> None:
    """Refuses numbers that lie in other files, and chunks that would fill the memory."""
    if dataset.is_virtual or dataset.external:
        raise _Refused("its numbers lie in other files, which are not opened")
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > _LARGEST_CHUNK:
        raise _Refused(f"its chunks have {chunk} bytes each, at most {_LARGEST_CHUNK}")


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns what h5py raises on a damaged file into one kind of error."""
    try:
        yield
    except _Refused as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise ValueError(
            f"{where} cannot be read ({error}): "
            + remedy(error, "the file is no whole HDF5 file, fetch it again")
        ) from error
