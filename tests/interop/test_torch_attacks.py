"""Files of PyTorch that attack their reader, and random ones."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch_states import OLD, ONE, STATE

from experiments.benchmarks.faults import torch_files as torch
from stiid.interop.torch_file import read_state_dict
from stiid.interop.torch_pickle import read_pickle


class Attack:
    """Unpickled, it makes a folder."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@OLD
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, os.mkdir, eval, exec, getattr, __import__])
def test_no_function_is_called(read, old, protocol, function, tmp_path):
    target = tmp_path / "made"
    argument = {os.system: f"mkdir {target}", os.mkdir: str(target)}.get(
        function, f"__import__('os').mkdir({str(target)!r})"
    )
    attack = {"x": Attack(function, argument)}
    content = pickle.dumps(attack, protocol=protocol)
    write = torch.old_file if old else torch.zip_file
    with pytest.raises(ValueError, match="refused"):
        read(write(content, {}))
    with pytest.raises(ValueError, match=r"refused|neither a zip"):
        read(content)  # as the first pickle of the old container
    assert not target.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(X\x02\x00\x00\x00lstR.",
        b"(X\x02\x00\x00\x00lsios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x02\x00\x00\x00lso.",  # OBJ
        b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",  # STACK_GLOBAL
        b"ctorch._utils\n_rebuild_tensor\n)R.",
        b"ctorch\nload\n)R.",
        b"ctorch\nFloatStorage\n)R.",  # a class is not called
        b"ccollections\nOrderedDict\n(]tR.",
        b"ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"X\x02\x00\x00\x00ls)R.",
        b"\x82\x01.",  # EXT1
        b"P0\n.",  # PERSID
        b"(X\x06\x00\x00\x00moduleNX\x01\x00\x00\x000NNtQ.",
    ],
)
def test_no_instruction_beyond_those_of_a_state_dict(read, code):
    with pytest.raises(ValueError, match="refused"):
        read(torch.zip_file(b"\x80\x02" + code, {}))


def test_names_that_are_allowed_have_no_attributes_to_set(read):
    name = b"ctorch._utils\n_rebuild_tensor_v2\n"
    code = b"\x80\x02" + name + b"N}" + torch.text("__code__") + b"Ns\x86b."
    with pytest.raises(ValueError, match="attributes of a value that is not a dict"):
        read(torch.zip_file(code, {}))


def test_a_large_memo_costs_no_memory(read):
    """Python's own unpickler would allocate a table of 2³¹ entries."""
    code = b"\x80\x02" + torch.EMPTY_DICT + b"r" + struct.pack("<I", 2**31 - 1) + b"."
    with pytest.raises(ValueError, match="holds no state_dict"):
        read(torch.zip_file(code, {}))


def check(path, content):
    """The reader gives arrays or a ``ValueError``, nothing else."""
    path.write_bytes(content)
    try:
        state = read_state_dict(path)
    except ValueError:
        return
    for array in state.values():
        assert array.tobytes() == array.copy().tobytes()  # all of it is there


FUZZ = settings(max_examples=150, deadline=None, database=None)


@FUZZ
@given(content=st.binary(max_size=200), kind=st.sampled_from(["file", "zip", "old"]))
def test_random_bytes(path, content, kind):
    if kind == "zip":
        content = torch.zip_file(b"\x80\x02" + content, {"0": ONE})
    elif kind == "old":
        content = torch.old_file(b"\x80\x02" + content, {"0": ONE})
    check(path, content)


def test_an_escape_that_nobody_writes_is_damage():
    """Python warns of it only; found by the test below."""
    with pytest.raises(ValueError, match=r"damaged: DeprecationWarning\(.*invalid escape sequence"):
        read_pickle(io.BytesIO(b"S'\\o'\n."))


@FUZZ
@given(data=st.data(), old=st.booleans())
def test_changed_bytes(path, data, old):
    content = bytearray(torch.save({"x": ONE, "y": STATE["expanded"]}, old=old))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    check(path, bytes(content))


@FUZZ
@given(
    array=hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
    old=st.booleans(),
)
def test_any_shape(path, array, old):
    path.write_bytes(torch.save({"x": array}, old=old))
    np.testing.assert_array_equal(read_state_dict(path)["x"], array)


def nested(depth):
    """A tuple of two of a tuple of two of …: so many bytes, and 2^depth items if it is written."""
    return b"N" + b"q\x00h\x00\x86" * depth


BOMBS = {
    "called": (nested(60) + b")R.", "the file calls a tuple"),
    "persistent id": (
        b"("
        + nested(60)
        + b"ctorch\nFloatStorage\n"
        + torch.text("0")
        + torch.text("cpu")
        + torch.number(1)
        + b"tQ.",
        "persistent id of a tuple and '0'",
    ),
    "parameter": (
        b"ctorch._utils\n_rebuild_parameter\n(" + nested(60) + b"tR.",
        "expected a tensor, got a tuple",
    ),
    "axes": (
        torch.tensor(ONE, "0", old=False, shape=[2] * 500, strides=[0] * 500) + b".",
        "a tensor has 500 axes",
    ),
    "size": (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + torch.tensor(ONE, "0", old=False).partition(b"tQ")[0].partition(b"\n(")[2]
        + b"tQ"
        + torch.number(0)
        + b"\x8a\xff"
        + b"\x7f" * 255
        + b"\x85"
        + torch.numbers([1])
        + b"tR.",
        "must be whole numbers",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_few_bytes_take_little_time(name):
    """Each is some hundred bytes long, and would fill any memory if it were written out."""
    program, message = BOMBS[name]
    with pytest.raises(ValueError, match=message) as caught:
        read_pickle(io.BytesIO(b"\x80\x02" + program))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("instruction", [b"\x8e", b"\x8d", b"\x96"])
def test_a_length_beyond_the_end_takes_no_memory(tmp_path, instruction):
    """BINBYTES8, BINUNICODE8 and BYTEARRAY8 of 2^62 bytes, of which the file has one."""
    path = tmp_path / "x"
    path.write_bytes(b"\x80\x05" + instruction + struct.pack("<Q", 1 << 62) + b"a")
    with path.open("rb") as stream, pytest.raises(ValueError, match="expected"):
        read_pickle(stream)


def test_text_of_devices_does_not_grow():
    """Each level would join the text of the level before with itself: 2^60 characters."""
    device = b"ctorch\ndevice\n"
    double = b"q\x00" + device + b"h\x00h\x00\x86R"
    program = b"\x80\x02" + torch.text("cpu") + double * 60
    with pytest.raises(ValueError, match="ends in the middle"):
        read_pickle(io.BytesIO(program + b"."))


def test_what_is_no_file_or_too_large_is_not_read(tmp_path):
    with pytest.raises(ValueError, match="/dev/zero is not a file"):
        read_state_dict(Path("/dev/zero"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="fifo is not a file"):
        read_state_dict(tmp_path / "fifo")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=r"sparse has 1099511627776 bytes, expected at most"):
        read_state_dict(tmp_path / "sparse")


def test_members_of_an_archive_do_not_share_their_bytes(tmp_path, monkeypatch):
    """As if each of many entries named the same place: more is read than the file has."""
    path = tmp_path / "file.pt"
    path.write_bytes(torch.save({str(i): ONE for i in range(3)}, old=False))
    info = zipfile.ZipFile.getinfo

    def inflated(self, name):
        entry = info(self, name)
        entry.file_size = path.stat().st_size // 2
        return entry

    monkeypatch.setattr(zipfile.ZipFile, "getinfo", inflated)
    with pytest.raises(ValueError, match=r"overlap|damaged or not a PyTorch file"):
        read_state_dict(path)
