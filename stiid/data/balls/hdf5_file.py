"""Safe reading of HDF5 files of unknown origin: no links to other files, and one kind of error."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from stiid.errors import remedy

_LARGEST_CHUNK = 2**30  # bytes; it is decompressed as a whole


class _Refused(ValueError):
    """The file is not damaged, but its content is not allowed."""


def held(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return a member of a group, or None if there is no such member.

    Raises:
      _Refused: if it is a link, which may point to any file of this user.
    """
    link = group.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise _Refused(f"{name} is a link, which is not followed: use a file without links")
    return group.get(name)


def check_storage(dataset: h5py.Dataset) -> None:
    """Refuse data that are stored in other files, and chunks that would fill the memory."""
    if dataset.is_virtual or dataset.external:
        raise _Refused("its data are stored in other files, which are not opened")
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > _LARGEST_CHUNK:
        raise _Refused(f"its chunks have {chunk} bytes each, at most {_LARGEST_CHUNK}")


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn all errors that h5py raises on a damaged file into one kind of error."""
    try:
        yield
    except _Refused as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:  # h5py raises many kinds of errors on damaged files
        raise ValueError(
            f"{where} cannot be read ({error}): "
            + remedy(error, "it is not a complete HDF5 file, download it again")
        ) from error
