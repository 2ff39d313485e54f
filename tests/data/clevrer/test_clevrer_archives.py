"""Files of CLEVRER, packed and unpacked, and archives that are damaged or lie."""

import errno
import json
import logging
import os
import struct
import tracemalloc
import zipfile

import hypothesis
import hypothesis.strategies as st
import pytest
from clevrer_files import QUICK, reason

from stiid.data.clevrer.files import ClevrerFiles


def pack(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


def test_files_are_found_packed_and_unpacked(tmp_path):
    pack(
        tmp_path / "annotation_train.zip",
        [
            ("annotation_00000-01000/", ""),
            ("annotation_00000-01000/annotation_00007.json", "packed 7"),
            ("annotation_00000-01000/annotation_00009.json", "packed 9"),
            ("__MACOSX/._annotation_00005.json", "?"),
        ],
    )
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "annotation_00009.json").write_text("unpacked 9")
    (tmp_path / "deep" / "sim_00003.json").write_text("proposals of another name")
    (tmp_path / "deep" / "video_1.mp4").write_text("no official name")
    files = ClevrerFiles(tmp_path)
    assert [files.numbers(kind) for kind in ("video", "annotation", "proposal")] == [
        [],
        [7, 9],
        [3],
    ]
    assert files.read("annotation", 7) == b"packed 7"
    assert files.read("annotation", 9) == b"unpacked 9"
    assert files.name("proposal", 3) == "sim_00003.json"
    with files.local("annotation", 7) as path:
        assert path.read_text() == "packed 7"
    assert not path.exists()
    with files.local("annotation", 9) as path:
        assert path.parent.name == "er"
    assert path.exists()
    assert files.only(7).read("annotation", 7) == b"packed 7"
    with pytest.raises(ValueError, match=r"annotation_00007\.json is missing"):
        files.only(9).read("annotation", 7)


@pytest.mark.parametrize(
    "name",
    [
        "../video_00000.mp4",
        "videos/../../video_00000.mp4",
        "/etc/video_00000.mp4",
        "..\\video_00000.mp4",
        "C:\\video_00000.mp4",
        "../anything",
    ],
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    pack(tmp_path / "video_train.zip", [("video_00001.mp4", "ok"), (name, "evil")])
    with pytest.raises(ValueError, match=r"video_train\.zip contains .* a name that leads out"):
        ClevrerFiles(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["video_train.zip"]


def test_files_that_are_there_twice(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "video_00001.mp4").write_text("")
    with pytest.raises(ValueError, match="are the same file twice"):
        ClevrerFiles(tmp_path)
    (tmp_path / "two" / "video_00001.mp4").unlink()
    pack(tmp_path / "a.zip", [("a/video_00002.mp4", "1"), ("b/video_00002.mp4", "2")])
    with pytest.raises(ValueError, match=r"contains video_00002\.mp4 twice"):
        ClevrerFiles(tmp_path)


CONTENT = json.dumps({"some": list(range(300))}).encode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    pack(path, [("annotation_00001.json", CONTENT), ("video_00002.mp4", CONTENT * 3)])
    return path.read_bytes()


@QUICK
@hypothesis.given(
    cut=st.floats(0, 1), at=st.floats(0, 0.999), value=st.integers(0, 255), count=st.integers(0, 3)
)
def test_damaged_archives(whole, tmp_path_factory, cut, at, value, count):
    """Truncated, or some bytes changed: refused, or what is read is right."""
    data = bytearray(whole if count else whole[: int(cut * len(whole))])
    for i in range(count):
        data[(int(at * len(data)) + 7 * i) % len(data)] = value
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.zip").write_bytes(data)

    def read():
        files = ClevrerFiles(folder)
        for kind, number, truth in (("annotation", 1, CONTENT), ("video", 2, CONTENT * 3)):
            assert files.read(kind, number) == truth

    told = reason(read)
    assert not told or any(word in told for word in ("a.zip", "is missing", "at most"))


def test_files_behind_links_are_found(tmp_path, caplog, monkeypatch):
    """Clusters link data sets. A link to nothing leaves out one file, and it is named."""
    monkeypatch.setattr(logging.getLogger("stiid"), "propagate", True)
    disk, folder = tmp_path / "disk", tmp_path / "clevrer"
    (disk / "block").mkdir(parents=True)
    folder.mkdir()
    for number in (1, 2):
        (disk / "block" / f"video_0000{number}.mp4").touch()
    pack(disk / "annotation_train.zip", [("annotation_00001.json", "{}")])
    (folder / "block").symlink_to(disk / "block", target_is_directory=True)
    (folder / "again").symlink_to(disk / "block", target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "annotation_train.zip").symlink_to(disk / "annotation_train.zip")
    (folder / "one").mkdir()
    (folder / "one" / "video_00001.mp4").symlink_to(disk / "block" / "video_00001.mp4")
    (folder / "video_00003.mp4").symlink_to(disk / "video_00003.mp4")
    os.mkfifo(folder / "video_00004.mp4")
    with caplog.at_level("WARNING"):
        files = ClevrerFiles(folder)
    assert files.numbers("video") == [1, 2]
    assert files.read("annotation", 1) == b"{}"
    for number in (3, 4):
        assert f"video_0000{number}.mp4: it is not a regular file" in caplog.text


def test_all_damaged_archives_are_named_at_once(tmp_path):
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).write_bytes(b"PK?")
    pack(tmp_path / "c.zip", [("video_00001.mp4", "ok")])
    with pytest.raises(ValueError, match=r"a\.zip cannot be read.*; .*b\.zip cannot be") as error:
        ClevrerFiles(tmp_path)
    assert "c.zip" not in str(error.value)


def test_a_member_gives_no_more_than_it_declares(tmp_path, monkeypatch):
    """64 MiB of zeros that say they are 10 bytes."""
    path = tmp_path / "annotation_train.zip"
    pack(path, [("annotation_00001.json", bytes(2**26))])
    content = path.read_bytes()
    assert content.count(struct.pack("<I", 2**26)) == 2  # at the member and in the directory
    path.write_bytes(content.replace(struct.pack("<I", 2**26), struct.pack("<I", 10)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"annotation_train\.zip cannot be read"):
            ClevrerFiles(tmp_path).read("annotation", 1)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_full_folder_of_temporary_files_is_no_fault_of_the_archive(tmp_path, monkeypatch):
    """The error keeps its words; a ValueError would leave the video out as broken."""
    full = OSError(errno.ENOSPC, "No space left on device", "stiid_x")

    def no_room(**_):
        raise full

    pack(tmp_path / "video_train.zip", [("video_00001.mp4", "ok")])
    files = ClevrerFiles(tmp_path)
    monkeypatch.setattr("stiid.data.clevrer.files.tempfile.TemporaryDirectory", no_room)
    with pytest.raises(OSError, match="No space left on device") as caught, files.local("video", 1):
        pass
    assert caught.value is full
