"""CRC-32C and TFRecord: published values, tensorboardX's own loop, and damaged files."""

import numpy as np
import pytest
from movi_files import write_shard
from tensorboardX.crc32c import crc32c as crc32c_by_byte
from tensorboardX.record_writer import masked_crc32c as masked_by_byte

from stiid.data.movi.crc32c import crc32c
from stiid.data.movi.tfrecord import count_records, masked_crc32c, read_record

RECORDS = [b"", b"short", bytes(range(256)) * 7, b"last"]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_values_of_rfc_3720(data, value):
    assert crc32c(data) == value


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1024, 5000])
def test_blocks_equal_a_loop_over_bytes(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == crc32c_by_byte(data)
    assert masked_crc32c(data) == masked_by_byte(data)


@pytest.fixture
def path(tmp_path):
    write_shard(tmp_path / "shard", RECORDS)
    return tmp_path / "shard"


def test_random_access(path):
    assert count_records(path) == len(RECORDS)
    for number in (2, 0, 3, 1):
        assert read_record(path, number) == RECORDS[number]


def test_a_changed_file_is_indexed_anew(path):
    assert count_records(path) == 4
    write_shard(path, RECORDS[1:2])
    assert count_records(path) == 1
    assert read_record(path, 0) == RECORDS[1]


def test_no_records(path):
    path.write_bytes(b"")
    assert count_records(path) == 0


@pytest.mark.parametrize("kept", [5, 12, 14, 20, 40, -1])
def test_a_file_that_was_cut(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"shard ends within record \d: download it again"):
        count_records(path)


def test_flipped_bits_are_found(path):
    whole = bytearray(path.read_bytes())
    place = whole.index(b"short")
    damaged = whole.copy()
    damaged[place] ^= 4
    path.write_bytes(damaged)
    assert read_record(path, 0) == b""
    with pytest.raises(ValueError, match="the checksum of record 1 is wrong: download it again"):
        read_record(path, 1)
    damaged = whole.copy()
    damaged[16] ^= 1  # the number of bytes of record 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged before record 1"):
        count_records(path)
    path.write_bytes(b"a page that says that the file has moved")
    with pytest.raises(ValueError, match="is no TFRecord file"):
        count_records(path)
    with pytest.raises(FileNotFoundError, match="download it"):
        count_records(path.with_name("none"))
