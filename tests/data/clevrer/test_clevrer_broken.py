"""CLEVRER with broken, missing and changed files: what is left out, reported, refused."""

import json
import re

import official
import pytest

from stiid.data import registry
from stiid.data.clevrer.clips import KNOWN_BROKEN

NAN = float("nan")


def load(folder, data_dir, split="test", **options):
    """All clips of a split."""
    source = registry.load("clevrer", split, data_dir=str(data_dir), path=str(folder), **options)
    return [source[i] for i in range(len(source))]


def frames(content):
    return content["motion_trajectory"] if "motion_trajectory" in content else content["frames"]


def edited(change):
    """Changes the content of a JSON file."""

    def rewrite(data):
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return rewrite


FAULTS = {
    "truncated": ("video", lambda data: data[:3000], "_{}.mp4: .*(truncated|cannot be read as)"),
    "short": ("video", lambda data: official.video(frames=104), "it has 104 frames, expected 128"),
    "small": ("video", lambda data: official.video(width=240), "it has 240x320 pixels"),
    "text": ("video", lambda data: b"no video at all", "cannot be read as a video"),
    "no annotation": ("annotation", None, "annotation_{}.json is missing"),
    "key": (
        "annotation",
        edited(lambda content: frames(content)[3]["objects"][0].pop("velocity")),
        "motion_trajectory 3, object 0 has no key 'velocity'",
    ),
    "NaN": (
        "annotation",
        edited(
            lambda content: frames(content)[3]["objects"][0].update(location=[0, 0, float("nan")])
        ),
        "expected three finite numbers",
    ),
    "order": (
        "annotation",
        edited(lambda content: frames(content)[3].update(frame_id=2)),
        "annotation_{}.json, motion_trajectory 3: frame_id is 2",
    ),
    "half": ("annotation", lambda data: data[:5000], "cannot be read as JSON"),
    "no proposals": ("proposal", None, "proposal_{}.json is missing"),
    "RLE": (
        "proposal",
        edited(lambda content: frames(content)[3]["objects"][0]["mask"].update(counts="~")),
        "proposal_{}.json, frame 3: malformed mask",
    ),
    "few": ("proposal", edited(lambda content: frames(content).pop()), "has 127 frames"),
}


def break_file(folder, kind, change, number):
    path = next(folder.rglob(f"{kind}_{number:05d}.*"))
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))


def test_broken_videos_are_left_out_and_named_once(tmp_path, told):
    for place, (kind, change, _) in enumerate(FAULTS.values()):
        official.write(tmp_path / "c", 10_000 + place, official.MOVING, proposed=True)
        break_file(tmp_path / "c", kind, change, 10_000 + place)
    for number in (10_800, 12_000):  # known to be broken, and whole
        official.write(tmp_path / "c", number, official.MOVING, proposed=True)
    clips = load(tmp_path / "c", tmp_path / "data", masks="proposals", resolution=16)
    assert [clip["id"] for clip in clips] == ["12000/000"]
    lines = [record.message for record in told.records if record.name == "stiid"]
    warnings = [line for line in lines if line.startswith("left out a video: ")]
    assert len(warnings) == len(FAULTS)
    for place, ((_, _, message), warning) in enumerate(zip(FAULTS.values(), warnings, strict=True)):
        assert f"{10_000 + place}" in warning
        assert re.search(message.format(10_000 + place), warning)
    assert f"1 clips from {len(FAULTS) + 2} videos, of which 1 are listed as broken" in lines[-1]
    assert f"{len(FAULTS)} were found broken and 0 have no suitable" in lines[-1]


def test_known_broken_items_are_those_of_the_literature():
    assert sorted(KNOWN_BROKEN) == [7648, 8182, 9777, 10800, 18700]


def nothing_prepared(folder):
    return not [*folder.rglob("*.array_record*"), *folder.rglob("dataset_info.json")]


def test_nothing_but_broken_videos_is_an_error(tmp_path):
    for number in (0, 1):
        official.write(tmp_path / "c", number, official.MOVING)
        break_file(tmp_path / "c", "video", lambda data: data[:3000], number)
    with pytest.raises(ValueError, match=r"no clips in 2 videos.*first broken one: video_00000"):
        load(tmp_path / "c", tmp_path / "data", "train", validation=0)
    assert nothing_prepared(tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_files_are_explained_all_at_once(tmp_path, split):
    official.write(tmp_path / "whole", 1 if split == "train" else 10_001, official.MOVING)
    kinds = ["video", "annotation", "proposal"]  # training ends with scores, which need all
    while kinds:
        with pytest.raises(FileNotFoundError) as caught:
            load(tmp_path / "some", tmp_path / "data", split, masks="proposals", validation=0)
        text = str(caught.value)
        named = " and no ".join(f"{kind}s" for kind in kinds)
        assert text.startswith(f"no {named} of CLEVRER for the {split} split in {tmp_path}/some")
        assert text.count("http://data.csail.mit.edu/clevrer/") == len(kinds)
        assert f"python -m stiid.data render {tmp_path}/some train=80 validation=10" in text
        for path in (tmp_path / "whole").rglob(f"{kinds[0]}_*.*"):
            (tmp_path / "some").mkdir(exist_ok=True)
            path.rename(tmp_path / "some" / path.name)
        kinds = kinds[1:] if split == "test" else []  # to train on videos, videos suffice
    assert nothing_prepared(tmp_path)


def test_a_changed_file_is_prepared_again(tmp_path):
    def fingerprint(**options):
        given = {"path": str(tmp_path), "validation": 0, "resolution": 8, **options}
        return registry.load("clevrer", "train", data_dir=str(tmp_path / "d"), **given).fingerprint

    official.write(tmp_path, 0, official.MOVING)
    before = fingerprint()
    assert fingerprint(objects=(6,), masks="proposals") == before  # says nothing about training
    assert fingerprint(frames=20) != before
    official.write(tmp_path, 0, official.MOVING, shown=True)
    assert fingerprint() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames must be at least 1"),
        ({"frames": 65, "stride": 2}, "fit a video of 128 frames at stride 2, got 65"),
        ({"crop": (100, 0, 400, 320)}, "does not fit images of 480x320"),
        ({"objects": ()}, "objects must be numbers"),
        ({"objects": (2, 3)}, "objects must be numbers of at least min_objects = 3"),
        ({"masks": "none"}, "masks must be one of"),
        ({"train_masks": "boxes"}, "train_masks must be one of"),
        ({"limit": -1}, "must not be negative"),
        ({"resolution": 0}, "at least 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        registry.make_spec("clevrer", **options)
