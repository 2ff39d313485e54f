"""Files of PyTorch: what they hold, damage, and lies."""

import zipfile

import numpy as np
import pytest
from torch_states import OLD, ONE, STATE

from experiments.benchmarks.faults import torch_files as torch
from stiid.interop.torch_file import read_state_dict


def one_tensor(*, old, storages=None, **lies):
    """A file with one tensor of four numbers."""
    content = torch.state_pickle({"x": torch.tensor(ONE, "0", old=old, **lies)})
    write = torch.old_file if old else torch.zip_file
    return write(content, {"0": ONE} if storages is None else storages)


@OLD
def test_all_tensors_come_back_with_their_types(read, old):
    state = read(torch.save(STATE, old=old))
    assert state.keys() == STATE.keys()
    for name, array in STATE.items():
        np.testing.assert_array_equal(state[name], array)
        assert state[name].dtype == array.dtype
        assert not state[name].flags.writeable


@OLD
def test_tensors_may_share_a_storage(read, old):
    parts = {
        "first": torch.tensor(ONE, "0", old=old, shape=(2,), strides=(1,)),
        "odd": torch.tensor(ONE, "0", old=old, offset=1, shape=(2,), strides=(2,)),
    }
    write = torch.old_file if old else torch.zip_file
    state = read(write(torch.state_pickle(parts), {"0": ONE}))
    assert state["first"].tolist() == [0, 1]
    assert state["odd"].tolist() == [1, 3]


def test_parameters_and_any_protocol_are_read(read):
    value = torch.tensor(ONE, "0", old=False)
    value = b"ctorch._utils\n_rebuild_parameter\n(" + value + b"\x88" + torch.EMPTY_DICT + b"tR"
    assert read(torch.zip_file(torch.state_pickle({"x": value}), {"0": ONE}))["x"].tolist() == [
        *range(4)
    ]


@OLD
@pytest.mark.parametrize(
    ("lies", "message"),
    [
        ({"shape": (5,)}, "beyond its storage"),
        ({"offset": 1}, "beyond its storage"),
        ({"strides": (2,)}, "beyond its storage"),
        ({"shape": (2, 2)}, "shape and strides"),
        ({"strides": (-1,), "offset": 3}, "whole numbers"),
        ({"offset": -1}, "whole numbers"),
        ({"shape": (-4,)}, "whole numbers"),
        ({"shape": (2**14, 2**15), "strides": (0, 0)}, "expected at most"),
        ({"shape": (1,) * 9, "strides": (1,) * 9}, "has 9 axes, expected at most 8"),
        ({"size": 5}, "expected 20|expected 5"),
        ({"size": -1}, "size is wrong"),
        ({"kind": "DoubleStorage"}, "expected 32"),
        ({"kind": "BFloat16Storage"}, r"refused: the file asks for 'torch.BFloat16Storage'"),
        ({"storages": {}}, "missing|damaged"),
        ({"storages": {"0": ONE, "9": ONE}}, None),
    ],
)
def test_lies_about_a_tensor_are_found(read, old, lies, message):
    content = one_tensor(old=old, **lies)
    if message is None and not old:
        assert read(content)["x"].tolist() == [0, 1, 2, 3]  # an archive may hold more
        return
    with pytest.raises(ValueError, match=message or "belongs to no tensor"):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged|exhausted"),
        (b"no such thing", "file.th"),
        (torch.zip_file(b"", {}), "exhausted"),
        (torch.zip_file(torch.state_pickle({}), {}), "holds no state_dict"),
        (torch.zip_file(torch.state_pickle({"epoch": b"K\x05"}), {}), "'epoch' is a int"),
        (torch.zip_file(torch.state_pickle({}), {}, root="a/b/"), "expected one data.pkl"),
        (torch.save(STATE, old=False, order=b"big"), "big-endian"),
        (torch.save(STATE, old=False, compression=zipfile.ZIP_DEFLATED), "compressed"),
        (torch.save(STATE, old=True, magic=1), "neither a zip"),
        (torch.save(STATE, old=True, version=1000), "neither a zip"),
        (torch.save(STATE, old=True, system={"little_endian": False}), "big-endian"),
        (torch.zip_file(b"\x80\x02K\x01K\x02.", {}), "in the middle"),
        (torch.zip_file(b"\x80\x02}K\x01K\x02s.", {}), "text as keys"),
        (torch.zip_file(b"\x80\x02K\x01K\x02a.", {}), "not a list"),
        (torch.zip_file(b"\x80\x02h\x05.", {}), "damaged: KeyError"),
        (torch.zip_file(b"\x80\x02}.", {"0": ONE})[:-40], "damaged"),
    ],
)
def test_other_files_are_refused(read, content, message):
    with pytest.raises(ValueError, match=message):
        read(content)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "nothing.th")


@OLD
def test_every_truncated_file_is_refused(read, old):
    content = torch.save({"x": ONE, "y": np.array(3)}, old=old)
    for length in range(0, len(content), 7):
        with pytest.raises(ValueError, match=r"file\.th"):
            read(content[:length])
