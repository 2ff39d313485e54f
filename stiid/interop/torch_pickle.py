"""Read the pickles in PyTorch files without Python's unpickler.

A pickle is a program that may call any function. ``pickletools`` only splits it into instructions.
``read_pickle`` executes the few that PyTorch writes for a ``state_dict``, with the few names below,
and refuses all others.
"""

import pickletools
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

# Elements of a storage, by the name of its class in ``torch``.
STORAGES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
}
_FUNCTIONS = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.device",
)
_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")
_NAMES = {
    *_FUNCTIONS,
    *(f"torch.{name}" for name in (*STORAGES, *_DTYPES)),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"} | {
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
_MOST_AXES = 8
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Storage(NamedTuple):
    """A flat array elsewhere in the file."""

    dtype: np.dtype
    key: str
    size: int  # elements


class Tensor(NamedTuple):
    """A view of a storage, not checked against it."""

    storage: Storage
    offset: int  # elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements


class _Name(NamedTuple):
    """A class or function that a pickle names."""

    name: str


def read_pickle(stream: BinaryIO) -> Any:
    """Read the value of the next pickle of a stream, and leave the stream at its end.

    Returns:
      Numbers, text, tuples, lists, dicts (``OrderedDict`` included), ``Tensor``.

    Raises:
      ValueError: the pickle is damaged, or contains what no ``state_dict`` needs.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # Python warns about invalid escapes, which PyTorch never writes.
            warnings.simplefilter("error", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(cast(BinaryIO, _InPieces(stream))):
                if opcode.name == "STOP":
                    return machine.result()
                machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, OverflowError, DeprecationWarning) as error:
        raise ValueError(f"a pickle in the file is damaged: {error!r}") from None
    raise ValueError("a pickle in the file is damaged: it has no end")


class _InPieces:
    """A stream that allocates what the file contains, not what a damaged length claims."""

    PIECE = 1 << 20  # bytes

    def __init__(self, stream: BinaryIO) -> None:
        self.readline = stream.readline
        self._stream = stream

    def read(self, size: int) -> bytes:
        pieces = []
        while size > 0 and (piece := self._stream.read(min(size, self.PIECE))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


class _Machine:
    """Stack, marks and memo while a pickle is executed."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._actions: dict[str, Callable[[Any], None]] = {
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
            "MARK": self._mark,
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_LIST": lambda _: self._push([]),
            "TUPLE": lambda _: self._push(tuple(self._pop_marked())),
            "APPEND": lambda _: self._extend(self._pop(1)),
            "APPENDS": lambda _: self._extend(self._pop_marked()),
            "SETITEM": lambda _: self._set_items(self._pop(2)),
            "SETITEMS": lambda _: self._set_items(self._pop_marked()),
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "BINGET": lambda index: self._push(self._memo[index]),
            "LONG_BINGET": lambda index: self._push(self._memo[index]),
            "GLOBAL": lambda words: self._name(words.replace(" ", ".")),
            "STACK_GLOBAL": lambda _: self._name(".".join(self._pop(2))),
            "BINPERSID": lambda _: self._push(_storage(self._stack.pop())),
            "REDUCE": lambda _: self._push(_call(*self._pop(2))),
            "BUILD": self._build,
        }

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in _LITERALS:
            self._push(argument)
        elif name in _SHORT_TUPLES:
            self._push(tuple(self._pop(_SHORT_TUPLES[name])))
        elif name in self._actions:
            self._actions[name](argument)
        else:
            raise ValueError(f"refused: no state_dict needs the pickle instruction {name}")

    def result(self) -> Any:
        if len(self._stack) != 1 or self._marked:
            raise ValueError("a pickle in the file is damaged: it ends in the middle")
        return self._stack[0]

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("stack is empty")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _mark(self, _: Any) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _pop_marked(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise TypeError("append to a value that is not a list")
        self._stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target, keys = self._stack[-1], items[::2]
        if type(target) is not dict or not all(type(key) is str for key in keys):
            raise TypeError("dicts must have text as keys")
        target.update(zip(keys, items[1::2], strict=True))

    def _name(self, name: str) -> None:
        if name not in _NAMES:
            raise ValueError(f"refused: the file asks for {name[:80]!r}, which no state_dict needs")
        self._push(_Name(name))

    def _build(self, _: Any) -> None:
        """Drop attributes of an ``OrderedDict`` (PyTorch's version numbers)."""
        self._stack.pop()
        if type(self._stack[-1]) is not dict:
            raise TypeError("attributes of a value that is not a dict")


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Name) or function.name not in _FUNCTIONS:
        raise ValueError(f"refused: the file calls {_words(function)}")
    if type(arguments) is not tuple:
        raise TypeError("arguments must be a tuple")
    if function.name == "collections.OrderedDict":
        if arguments:
            raise ValueError("refused: an OrderedDict with arguments")
        return {}
    if function.name == "torch.device":
        return "device"  # ignored: tensors are read into the host's memory
    if function.name == "torch._utils._rebuild_parameter":
        return _checked(arguments[0], Tensor)
    storage, offset, shape, strides = arguments[:4]
    tensor = Tensor(_checked(storage, Storage), offset, shape, strides)
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise TypeError("a tensor's shape and strides do not fit")
    if len(shape) > _MOST_AXES:
        raise ValueError(f"a tensor has {len(shape)} axes, expected at most {_MOST_AXES}")
    if not all(type(n) is int and 0 <= n < 2**63 for n in (offset, *shape, *strides)):
        raise TypeError("a tensor's offset, shape and strides must be whole numbers")
    return tensor


def _storage(identity: Any) -> Storage:
    """Parse the persistent id of a storage: ("storage", class, key, device, size[, None])."""
    kind, storage, key, _, size, *view = identity
    if kind != "storage" or view not in ([], [None]) or type(key) is not str:
        raise ValueError(f"refused: a persistent id of {_words(kind)} and {_words(key)}")
    name = _checked(storage, _Name).name.removeprefix("torch.")
    if name not in STORAGES or type(size) is not int or not 0 <= size < 2**63:
        raise TypeError("a storage's class or size is wrong")
    return Storage(STORAGES[name], key, size)


def _checked(value: Any, cls: type) -> Any:
    if type(value) is not cls:
        raise TypeError(f"expected a {cls.__name__.strip('_').lower()}, got {_words(value)}")
    return value


def _words(value: Any) -> str:
    """Describe a value in a message: of nested values only the type, since they may be huge."""
    if isinstance(value, _Name):
        return value.name
    return repr(value[:80]) if type(value) is str else f"a {type(value).__name__}"
