"""CLEVRER's JSON, run lengths and archives: what is read, and how broken files are refused."""

import json
import logging
import os
import struct
import tracemalloc
import zipfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import official
import pytest

from stiid.data.clevrer.annotations import parse_annotation
from stiid.data.clevrer.files import ClevrerFiles
from stiid.data.clevrer.proposals import decode_rle, parse_proposals

QUICK = hypothesis.settings(deadline=None, max_examples=60)
ANNOTATION = json.dumps(official.annotation(official.SIX, 12))
PROPOSALS = json.dumps(official.proposals(official.MOVING))


def frames(content):
    return content["motion_trajectory"] if "motion_trajectory" in content else content["frames"]


# --- annotations ----------------------------------------------------------------------------------


def test_an_annotation_is_read():
    annotation = parse_annotation(ANNOTATION.encode(), "a")
    assert annotation.names[3] == ("green", "rubber", "cube")
    assert [shape for _, _, shape in annotation.names] == [shape for shape, _, _ in official.SIX]
    assert annotation.locations.shape == (128, 6, 3)
    np.testing.assert_allclose(annotation.locations[35, 0], (0.2, -1.0, 0.2))
    np.testing.assert_allclose(annotation.velocities[:, 1], [(0.0, 0.1, 0.0)] * 128)
    np.testing.assert_allclose(annotation.orientations[50], [(0.0, 0.0, 1.0)] * 6)


def test_objects_go_by_their_id():
    """Listed in any order, with ids of any value, in the properties and in every frame."""
    content = json.loads(ANNOTATION)
    content["object_property"].reverse()
    for frame in frames(content)[::2]:
        frame["objects"].reverse()
    for item in (content, *frames(content)):
        for entry in item.get("objects", item.get("object_property", [])):
            entry["object_id"] = 3 * entry["object_id"] + 1
    ours = parse_annotation(json.dumps(content).encode(), "a")
    truth = parse_annotation(ANNOTATION.encode(), "a")
    assert ours.names == truth.names
    np.testing.assert_array_equal(ours.locations, truth.locations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("motion_trajectory"), "a has no key 'motion_trajectory'"),
        (lambda c: c.pop("object_property"), "a has no key 'object_property'"),
        (lambda c: c["object_property"].clear(), "has 0 objects"),
        (lambda c: c["object_property"][1].pop("shape"), "object_property 1 has no key 'shape'"),
        (lambda c: c["object_property"][1].update(color="pink"), "color is 'pink', expected one"),
        (lambda c: c["object_property"][1].update(object_id=0), "second object has object_id 0"),
        (lambda c: c["object_property"][1].update(object_id=True), "object_id is True, expected"),
        (
            lambda c: c["object_property"][2].update(official.name(0)),
            "two objects have the same color, material and shape",
        ),
        (lambda c: frames(c).pop(), "has 127 frames, expected 128"),
        (lambda c: frames(c)[7].update(frame_id=6), "motion_trajectory 7: frame_id is 6"),
        (lambda c: frames(c)[7].pop("frame_id"), "motion_trajectory 7 has no key 'frame_id'"),
        (lambda c: frames(c)[7]["objects"].pop(), r"has the objects \[0, 1, 2, 3, 4\], expected"),
        (lambda c: frames(c)[7]["objects"][1].update(object_id=0), "object 0 is there twice"),
        (lambda c: frames(c)[7]["objects"].append(3), "is a int, expected a JSON object"),
        (
            lambda c: frames(c)[7]["objects"][1].pop("location"),
            "motion_trajectory 7, object 1 has no key 'location'",
        ),
        (
            lambda c: frames(c)[7]["objects"][1].update(location=[0.0, float("nan"), 0.2]),
            "location is .*NaN.*, expected three finite numbers",
        ),
        (
            lambda c: frames(c)[7]["objects"][1].update(location=[0.0, 1e400, 0.2]),
            "location is .*, expected three finite numbers",
        ),
        (lambda c: frames(c)[7]["objects"][1].update(velocity=[0, 10**400, 0]), "three finite"),
        (lambda c: frames(c)[7]["objects"][1].update(orientation=[0, 0, 0, 1]), "three finite"),
        (lambda c: frames(c)[7]["objects"][1].update(location=["0", 0, 0]), "three finite"),
    ],
)
def test_broken_annotations(change, message):
    content = json.loads(ANNOTATION)
    change(content)
    with pytest.raises(ValueError, match=message):
        parse_annotation(json.dumps(content).encode(), "a")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"],
)
def test_what_is_no_json_object(text):
    with pytest.raises(ValueError, match=r"^a "):
        parse_annotation(text, "a")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(item):
    """All (container, key) of a JSON value."""
    keys = item if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
    for key in keys:
        yield item, key
        yield from places(item[key])


def reason(function, *arguments):
    """The message of the one kind of error that a broken file may raise, or ""."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def read_annotation(text):
    read = parse_annotation(text, "a")
    for array in (read.locations, read.orientations, read.velocities):
        assert array.shape == (128, len(read.names), 3)
        assert np.isfinite(array).all()


def read_proposals(text):
    read = parse_proposals(text, "a")
    assert {read.ids(t, [("gray", "metal", "sphere")]).max() for t in range(2)} <= {0, 1}


READERS = {"annotation": (read_annotation, ANNOTATION), "proposals": (read_proposals, PROPOSALS)}


@pytest.mark.parametrize("kind", READERS)
@QUICK
@hypothesis.given(where=st.floats(0, 0.999), value=JSON, drop=st.booleans())
def test_any_change_is_refused_or_harmless(kind, where, value, drop):
    """A value in the head of a file or in its first two frames is replaced or removed."""
    read, text = READERS[kind]
    content = json.loads(text)
    long = frames(content)
    head = long[:2]
    found = [*places(head), *((content, key) for key in content)]
    found += places(content.get("object_property", []))
    container, key = found[int(where * len(found))]
    if container is head:
        container = long
    if drop:
        del container[key]
    else:
        container[key] = value
    told = reason(read, json.dumps(content).encode())
    assert told.startswith(("a ", "a,", "a:")) or not told


def test_without_a_change_nothing_is_refused():
    for read, text in READERS.values():
        read(text.encode())


# --- run lengths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "size", "runs"),
    [
        ("414", (3, 3), [4, 1, 4]),  # the middle of 3x3
        ("534N", (13, 1), [5, 3, 4, 1]),  # 1 - 3 = -2 → 30 → "N"
        ("T3", (10, 10), [100]),  # 100 = 4 + 3 * 32 → 36, 3
        ("d0", (20, 1), [20]),  # bit 16 of 20 would be a sign: 52, 0
        ("0d0", (4, 5), [0, 20]),
        ("PPf4", (320, 480), [153_600]),  # 0, 0, 22, 4 in base 32
        ("11100N", (1, 4), [1, 1, 1, 1, 1, -1]),
    ],
)
def test_run_lengths_by_hand(counts, size, runs):
    if min(runs) < 0:
        with pytest.raises(ValueError, match="a run of -1 pixels"):
            decode_rle(counts, *size)
        return
    flat = np.concatenate([np.full(run, i % 2 == 1) for i, run in enumerate(runs)])
    height, width = size
    expected = [[flat[c * height + r] for c in range(width)] for r in range(height)]
    mask = decode_rle(counts, *size)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, expected)
    assert official.encode_rle(mask) == counts


@QUICK
@hypothesis.given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_run_lengths_there_and_back(height, width, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    for _ in range(rng.integers(4)):
        top, left = rng.integers(height), rng.integers(width)
        mask[top : top + rng.integers(50), left : left + rng.integers(50)] ^= True
    mask ^= rng.random(mask.shape) < rng.choice([0, 0.5])
    np.testing.assert_array_equal(decode_rle(official.encode_rle(mask), height, width), mask)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "its runs are 0 pixels long, expected 9"),
        ("41", "its runs are 5 pixels long, expected 9"),
        ("4141", "its runs are"),
        ("T", "ends within a number"),
        ("41/", "'/' does not occur"),
        ("41é", "'é' does not occur"),
        ("N", "a run of -2 pixels"),
        ("oooooooooooo1", "more than 30 bits"),
        ("ooooo0", "a run of"),
    ],
)
def test_malformed_run_lengths(counts, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(counts, 3, 3)


@QUICK
@hypothesis.given(
    st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=12) | st.text(max_size=5)
)
def test_any_text_is_refused_or_a_mask(counts):
    told = reason(decode_rle, counts, 5, 4)
    assert told.startswith("malformed mask") or not told
    if not told:
        mask = decode_rle(counts, 5, 4)
        assert mask.shape == (5, 4)
        np.testing.assert_array_equal(decode_rle(official.encode_rle(mask), 5, 4), mask)


# --- proposals ------------------------------------------------------------------------------------

NAMES = [(*official.name(i).values(), "sphere") for i in range(3)]


def test_identity_is_by_color_material_and_shape():
    """The last object is listed first; ids follow the names, not the list."""
    proposals = parse_proposals(PROPOSALS.encode(), "p")
    for t in (0, 70):
        ids = proposals.ids(t, NAMES)
        assert (ids.dtype, ids.shape) == (np.uint8, (320, 480))
        for i in range(3):
            np.testing.assert_array_equal(ids == i + 1, official.disc(official.MOVING, i, t))
    np.testing.assert_array_equal(proposals.ids(0, NAMES[:1]) > 0, proposals.ids(0, NAMES) == 1)


def test_scores_decide():
    """Low scores do not count; of two of one name, and of two in one place, the higher does."""
    content = json.loads(PROPOSALS)
    third, second, first = frames(content)[0]["objects"]
    truth = [official.disc(official.MOVING, i, 0) for i in range(3)]
    third["score"] = 0.49
    second["score"], first["score"] = 0.8, 0.7
    first["mask"]["counts"] = official.encode_rle(truth[0] | truth[1])
    lower = {**second, "score": 0.6, "mask": {**third["mask"]}}
    frames(content)[0]["objects"] = [second, lower, third, first]
    ids = parse_proposals(json.dumps(content).encode(), "p").ids(0, NAMES)
    np.testing.assert_array_equal(ids, 1 * truth[0] + 2 * truth[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("frames"), "p has no key 'frames'"),
        (lambda c: frames(c).pop(), "p has 127 frames"),
        (lambda c: frames(c)[5].update(frame_index=3), "p, frame 5: frame_index is 3"),
        (lambda c: frames(c)[5]["objects"][0].pop("mask"), "p, frame 5 has no key 'mask'"),
        (lambda c: frames(c)[5]["objects"][0].update(score=float("inf")), "no finite number"),
        (
            lambda c: frames(c)[5]["objects"][0]["mask"].update(size=[480, 320]),
            r"size \[480, 320\], expected \[320, 480\]",
        ),
        (lambda c: frames(c)[5]["objects"][0]["mask"].update(counts=[1]), "expected a JSON string"),
        (lambda c: frames(c)[0]["objects"][0]["mask"].update(counts="1"), "p, frame 0: malformed"),
    ],
)
def test_broken_proposals(change, message):
    content = json.loads(PROPOSALS)
    change(content)
    with pytest.raises(ValueError, match=message):
        parse_proposals(json.dumps(content).encode(), "p").ids(0, NAMES)


# --- archives -------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match=r"there is no annotation_00007\.json"):
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
    with pytest.raises(ValueError, match=r"video_train\.zip holds .* a name that leads out"):
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
    with pytest.raises(ValueError, match=r"holds video_00002\.mp4 twice"):
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
    assert not told or any(word in told for word in ("a.zip", "there is no", "too many"))


# --- links, and archives that lie -----------------------------------------------------------------


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
        assert f"video_0000{number}.mp4: it is no file" in caplog.text


def test_all_damaged_archives_are_named_at_once(tmp_path):
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).write_bytes(b"PK?")
    pack(tmp_path / "c.zip", [("video_00001.mp4", "ok")])
    with pytest.raises(ValueError, match=r"a\.zip is no zip.*; .*b\.zip is no zip") as error:
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
