"""Read PyTorch ``state_dict`` files with NumPy alone; no code from the file is run.

Two containers are known: the zip archive of PyTorch 1.6 and later, and the older sequence of
pickles and raw storages.
"""

import io
import math
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stiid.interop.torch_pickle import Storage, Tensor, read_pickle

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MOST_BYTES = 2**30  # of a file
_MOST_ELEMENTS = 2**28  # of a tensor


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Read all tensors of a ``state_dict`` file as read-only arrays, by name.

    Raises:
      OSError: there is no such file.
      ValueError: the file is damaged, is something else, or asks for code to be run.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"{path} is not a file: name the file of a saved model")
    if state.st_size > _MOST_BYTES:
        raise ValueError(
            f"{path} has {state.st_size} bytes, expected at most {_MOST_BYTES}: name a saved model"
        )
    content = path.read_bytes()
    read = _read_zip if content.startswith(_ZIP) else _read_old
    try:
        tensors, buffers = read(content)
        return {name: _view(tensor, buffers) for name, tensor in tensors.items()}
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError),
        *(OSError, EOFError, KeyError, OverflowError, struct.error),
    ) as error:
        raise ValueError(f"{path} is damaged or not a PyTorch file: {str(error)[:200]}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_zip(content: bytes) -> tuple[dict[str, Tensor], dict[Storage, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        roots = [name[: -len("data.pkl")] for name in archive.namelist() if _is_pickle(name)]
        if len(roots) != 1:
            raise ValueError("expected one data.pkl in the archive: not a PyTorch file")
        root = roots[0]

        left = len(content)

        def member(name: str) -> bytes:
            nonlocal left
            info = archive.getinfo(root + name)
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name[:80]} is compressed, which PyTorch does not do")
            left -= info.file_size
            if left < 0:
                raise ValueError("the members of the archive overlap")
            return archive.read(info)

        if root + "byteorder" in archive.namelist() and member("byteorder") != b"little":
            raise ValueError("written on a big-endian machine: not supported")
        tensors = _tensors(read_pickle(io.BytesIO(member("data.pkl"))))
        storages = {tensor.storage for tensor in tensors.values()}
        return tensors, {storage: member(f"data/{storage.key}") for storage in storages}


def _is_pickle(name: str) -> bool:
    return name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)


def _read_old(content: bytes) -> tuple[dict[str, Tensor], dict[Storage, bytes]]:
    stream = io.BytesIO(content)
    if read_pickle(stream) != _MAGIC or read_pickle(stream) != _VERSION:
        raise ValueError("neither a zip archive nor a PyTorch file of version 1001")
    system = read_pickle(stream)
    if not isinstance(system, Mapping) or system.get("little_endian") is not True:
        raise ValueError("written on a big-endian machine: not supported")
    tensors, keys = _tensors(read_pickle(stream)), read_pickle(stream)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("the list of storages is damaged")
    buffers = {}
    for key in keys:
        if key not in storages:
            raise ValueError(f"storage {key[:80]!r} belongs to no tensor")
        storage = storages[key]
        (size,) = struct.unpack("<q", stream.read(8))
        if size != storage.size:
            raise ValueError(f"storage {key[:80]!r} has {size} elements, expected {storage.size}")
        buffers[storage] = stream.read(size * storage.dtype.itemsize)
    return tensors, buffers


def _tensors(root: Any) -> dict[str, Tensor]:
    if type(root) is not dict or not root:
        raise ValueError("holds no state_dict, a dict from names to tensors")
    for name, value in root.items():
        if type(value) is not Tensor:
            raise ValueError(
                f"holds no state_dict: {name[:80]!r} is a {type(value).__name__}, not a tensor"
            )
    return root


def _view(tensor: Tensor, buffers: Mapping[Storage, bytes]) -> np.ndarray:
    """View of a tensor's storage; strides may be zero (``expand``)."""
    storage, offset, shape, strides = tensor
    if storage not in buffers:
        raise ValueError(f"storage {storage.key[:80]!r} is missing")
    size = storage.dtype.itemsize
    if len(buffers[storage]) != storage.size * size:
        raise ValueError(
            f"storage {storage.key[:80]!r} has {len(buffers[storage])} bytes, expected "
            f"{storage.size * size}: the file is cut short or damaged"
        )
    count = math.prod(shape)
    if count > _MOST_ELEMENTS:
        raise ValueError(
            f"a tensor has the shape {shape}, expected at most {_MOST_ELEMENTS} elements"
        )
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if count and last >= storage.size:
        raise ValueError(f"a tensor of shape {shape} extends beyond its storage")
    flat = np.frombuffer(buffers[storage], storage.dtype)
    if not count:
        return flat[:0].reshape(shape)
    return np.lib.stride_tricks.as_strided(
        flat[offset:], shape, [stride * size for stride in strides], writeable=False
    )
