"""Writes PyTorch's two file formats byte by byte, without PyTorch."""

import io
import pickle
import struct
import zipfile

KINDS = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
    "<i4": "IntStorage",
    "<i2": "ShortStorage",
    "|i1": "CharStorage",
    "|u1": "ByteStorage",
}
EMPTY_DICT = b"ccollections\nOrderedDict\n)R"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}}


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(array, key, *, old, offset=0, shape=None, strides=None, size=None, kind=None):
    """The instructions that rebuild an array; the keywords can lie."""
    own = [stride // array.itemsize for stride in array.strides]
    storage = [
        text("storage"),
        f"ctorch\n{kind or KINDS[array.dtype.str]}\n".encode(),
        text(key),
        text("cpu"),
        number(len(elements(array)) if size is None else size),
        *([b"N"] if old else []),
    ]
    arguments = [
        b"(" + b"".join(storage) + b"tQ",
        number(offset),
        numbers(array.shape if shape is None else shape),
        numbers(own if strides is None else strides),
        b"\x89",  # requires no gradient
        EMPTY_DICT,  # of hooks
    ]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + b"".join(arguments) + b"tR"


def elements(array):
    """What the storage holds: an expanded array has fewer elements than it shows."""
    if not array.size:
        return array.reshape(-1)
    index = tuple(0 if stride == 0 else slice(None) for stride in array.strides)
    return array[index].ravel(order="K")


def state_pickle(tensors, *, tail=b""):
    """A pickle of an OrderedDict, with the attribute that PyTorch gives it."""
    items = b"".join(text(name) + value for name, value in tensors.items())
    metadata = b"}" + text("_metadata") + EMPTY_DICT + b"sb"
    return b"\x80\x02" + EMPTY_DICT + b"q\x00(" + items + b"u" + metadata + tail + b"."


def zip_file(content, storages, *, compression=zipfile.ZIP_STORED, order=b"little", root="model/"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(f"{root}data.pkl", content)
        archive.writestr(f"{root}byteorder", order)
        for key, array in storages.items():
            archive.writestr(f"{root}data/{key}", array.tobytes())
        archive.writestr(f"{root}version", b"3\n")
    return stream.getvalue()


def old_file(content, storages, *, magic=MAGIC, version=VERSION, system=SYSTEM):
    head = [pickle.dumps(value, protocol=2) for value in (magic, version, system)]
    parts = [*head, content, pickle.dumps(list(storages), protocol=2)]
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    return b"".join(parts)


def save(state, *, old, **options):
    """The bytes of a ``state_dict`` file."""
    keys = {name: str(i) for i, name in enumerate(state)}
    tensors = {name: tensor(array, keys[name], old=old) for name, array in state.items()}
    storages = {keys[name]: elements(array) for name, array in state.items()}
    write = old_file if old else zip_file
    return write(state_pickle(tensors), storages, **options)
