"""A ``state_dict`` in both of PyTorch's containers, written without PyTorch."""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def _torch() -> Iterator[Any]:
    """Empty copies of the modules that PyTorch's pickles name."""
    names = {"torch": ["FloatStorage", "DoubleStorage"], "torch._utils": ["_rebuild_tensor_v2"]}
    for name, members in names.items():
        module = sys.modules[name] = types.ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (), {"__module__": name}))
    try:
        yield sys.modules["torch"]
    finally:
        for name in names:
            del sys.modules[name]


def _state_pickle(state: dict[str, np.ndarray], *, old: bool) -> bytes:
    """What PyTorch pickles of a ``state_dict``: the tensors name storages that lie elsewhere."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            return item if isinstance(item, tuple) and item[:1] == ("storage",) else None

        def reducer_override(self, item: Any) -> Any:
            if not isinstance(item, _Tensor):
                return NotImplemented
            return sys.modules["torch._utils"]._rebuild_tensor_v2, item.arguments

    with _torch() as torch:
        stream, tensors = io.BytesIO(), {}
        for key, (name, array) in enumerate(state.items()):
            kind = torch.FloatStorage if array.dtype == np.float32 else torch.DoubleStorage
            storage = ("storage", kind, str(key), "cpu", array.size, *([None] if old else []))
            strides = tuple(stride // array.itemsize for stride in array.strides)
            tensors[name] = _Tensor((storage, 0, array.shape, strides, False, {}))
        Pickler(stream, protocol=2).dump(tensors)
    return stream.getvalue()


class _Tensor:
    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments


def torch_zip(state: dict[str, np.ndarray]) -> bytes:
    """As PyTorch saves since 1.6: an archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model/data.pkl", _state_pickle(state, old=False))
        archive.writestr("model/byteorder", b"little")
        for key, array in enumerate(state.values()):
            archive.writestr(f"model/data/{key}", array.tobytes())
    return stream.getvalue()


def torch_old(state: dict[str, np.ndarray]) -> bytes:
    """As PyTorch saved before: pickles, then the numbers."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    heads = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    keys = pickle.dumps([str(key) for key in range(len(state))], 2)
    parts = [struct.pack("<q", array.size) + array.tobytes() for array in state.values()]
    return b"".join([*heads, _state_pickle(state, old=True), keys, *parts])
