"""MOVi from shards that the tests write: against what was written, and against TFDS's parser."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from movi_files import FRAMES, SIZE, example, features_of, png, scene, scenes_of, write_movi
from movi_files import write_shard as write

from stiid.data import registry
from stiid.data.movi.clip import read_clip
from stiid.data.verify import verify_elements
from stiid.data.view import View

VIEW = View(height=SIZE, width=SIZE, channels=3)
F = tfds.features


def load(tmp_path, split="train", **options):
    options = {"path": str(tmp_path / "movi"), "resolution": SIZE, **options}
    return registry.load("movi", split, data_dir=str(tmp_path / "data"), **options)


def assert_clip(clip, expected):
    for name, value in expected.items():
        np.testing.assert_array_equal(clip[name], value, err_msg=name)
    assert clip["n_objects"] == len(expected["boxes"])


def test_clips_are_those_written(tmp_path):
    write_movi(tmp_path / "movi", splits={"train": (5,), "validation": (1, 1)})
    source = load(tmp_path)
    assert len(source) == 5
    for number, expected in enumerate(scenes_of("train", 5)):
        assert_clip(source[number], expected)
        assert source[number]["id"] == f"train/{number:06d}"
    assert len(load(tmp_path, "validation")) == 2
    figures = verify_elements(source, clips=5)
    assert (figures["clips"], figures["objects"]) == (5, 2.4)


def test_the_layout_is_that_of_tfds():
    """TFDS's own reader finds the same in these records."""
    features = F.FeaturesDict(
        {
            "metadata": {"video_name": F.Text(), "num_instances": np.uint16},
            "instances": F.Sequence(
                {"bboxes": F.Sequence(F.BBoxFeature()), "bbox_frames": F.Sequence(np.int32)}
            ),
            "camera": {"positions": F.Tensor(shape=(FRAMES, 3), dtype=np.float32)},
            "video": F.Sequence(F.Image(shape=(SIZE, SIZE, 3)), length=FRAMES),
            "segmentations": F.Sequence(F.Image(shape=(SIZE, SIZE, 1), dtype=np.uint8)),
        }
    )
    record = example(features_of(scene(3)))
    theirs = features.deserialize_example_np(record)
    ours = read_clip(record, view=VIEW, frames=FRAMES)
    np.testing.assert_array_equal(ours["video"], np.stack(list(theirs["video"])))
    np.testing.assert_array_equal(ours["masks"], np.stack(list(theirs["segmentations"]))[..., 0])
    np.testing.assert_array_equal(ours["camera_positions"], theirs["camera"]["positions"])
    assert ours["n_objects"] == theirs["metadata"]["num_instances"]
    for n in range(2):
        frames = theirs["instances"]["bbox_frames"][n]
        assert len(frames) == (16, 24)[n]
        np.testing.assert_array_equal(ours["boxes"][n, frames], theirs["instances"]["bboxes"][n])


def test_fewer_frames_at_a_smaller_size(tmp_path):
    write_movi(tmp_path / "movi")
    clip, whole = (load(tmp_path, **options)[0] for options in ({"resolution": 8, "frames": 5}, {}))
    np.testing.assert_array_equal(clip["masks"], whole["masks"][:5, 1::2, 1::2])
    blocks = whole["video"][:5].reshape(5, 8, 2, 8, 2, 3).mean((2, 4))
    assert np.abs(clip["video"] - blocks).max() <= 1  # it is rounded twice, by rows and columns
    for name in ("boxes", "camera_positions"):
        axis = 1 if name == "boxes" else 0
        np.testing.assert_array_equal(clip[name], whole[name].take(range(5), axis))


def test_a_limit_needs_only_the_first_shards(tmp_path):
    folder = write_movi(tmp_path / "movi")
    whole = load(tmp_path)
    (folder / "movi_a-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(FileNotFoundError, match=r"00001-of-00002: .* the first 2 clips"):
        load(tmp_path)
    source = load(tmp_path, limit=2)
    assert len(source) == 2
    np.testing.assert_array_equal(source[1]["video"], whole[1]["video"])


def test_which_folder_is_taken(tmp_path):
    """The smallest images that suffice, of the latest version; or the one that is named."""
    root = tmp_path / "movi"
    for size, version in ((16, "1.0.0"), (32, "1.9.0"), (32, "1.10.0"), (64, "1.0.0")):
        write_movi(root, size=size, version=version, splits={"train": (1,)})
    fingerprints = set()
    for path, resolution, size, version in (
        (root, 16, 16, "1.0.0"),
        (root, 24, 32, "1.10.0"),
        (root, 128, 64, "1.0.0"),
        (root / "movi_a" / "32x32" / "1.9.0", 16, 32, "1.9.0"),
    ):
        source = load(tmp_path, path=str(path), resolution=resolution)
        fingerprints.add(source.fingerprint)
        expected = scenes_of("train", 1, size)[0]["masks"]
        view = View(height=resolution, width=resolution, channels=3)
        ids = [view.ids(frame) for frame in expected]
        np.testing.assert_array_equal(source[0]["masks"], ids, err_msg=f"{size} {version}")
    assert len(fingerprints) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": None}, "it has no feature 'video'"),
        ({"segmentations": [png(np.zeros((16, 16, 3), np.uint8))] * 24}, "mode RGB, expected L"),
        ({"video": [b"no image"] * 24}, "video, frame 0: cannot identify"),
        ({"video": [png(np.zeros((16, 16, 3), np.uint8))] * 23}, "video has 23 frames, asked for"),
        ({"metadata/num_instances": [1]}, "segmentations have the id 2, num_instances is 1"),
        ({"camera/positions": [0.0] * 70}, "camera/positions has 70 values, expected 3 per frame"),
        ({"camera/focal_length": [1.0, 2.0]}, "camera/focal_length has 2 values, expected 1"),
        ({"instances/bboxes/ragged_row_lengths_0": [16, 23]}, "do not fit each other"),
    ],
)
def test_broken_records_are_named(tmp_path, change, message):
    folder = write_movi(tmp_path / "movi", splits={"train": (2,)})
    shard = folder / "movi_a-train.tfrecord-00000-of-00001"
    features = {name: v for name, v in (features_of(scene(0)) | change).items() if v is not None}
    write(shard, [example(features_of(scene(1))), example(features)])
    with pytest.raises(ValueError, match=rf"00000-of-00001, record 1: .*{message}"):
        load(tmp_path)
    write(shard, [example(features_of(scene(1)))] * 2)
    assert len(load(tmp_path)) == 2  # nothing incomplete was kept


def test_damaged_files_are_named(tmp_path):
    folder = write_movi(tmp_path / "movi")
    shard = folder / "movi_a-train.tfrecord-00001-of-00002"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="00001-of-00002 ends within record 2: download it again"):
        load(tmp_path)
    write(shard, [example(features_of(scene(1)))])
    with pytest.raises(ValueError, match=r"has 1 records, dataset_info.json says more"):
        load(tmp_path)
    write(shard, [b"\xff\xff"] * 3)
    with pytest.raises(ValueError, match=r"record 0: it is no tf.train.Example"):
        load(tmp_path)
    shard.write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    with pytest.raises(ValueError, match="the checksum of record 0 is wrong"):
        load(tmp_path)
    info = folder / "dataset_info.json"
    info.write_text(json.dumps({"name": "movi_a", "splits": [{"name": "train"}]}))
    with pytest.raises(ValueError, match=r"dataset_info.json cannot be read .*shardLengths"):
        load(tmp_path)


def test_mistakes_in_the_options(tmp_path):
    write_movi(tmp_path / "movi")
    with pytest.raises(ValueError, match="got 'test': choose one of them"):
        load(tmp_path, "test")
    with pytest.raises(ValueError, match="split must be one of"):
        load(tmp_path, "training")
    with pytest.raises(FileNotFoundError, match=r"no MOVi-C in .*gs://kubric-public"):
        load(tmp_path, variant="c")
    folder = tmp_path / "movi" / "movi_a" / "16x16" / "1.0.0"
    with pytest.raises(ValueError, match="holds movi_a, not movi_b"):
        load(tmp_path, variant="b", path=str(folder))
    for options in ({"variant": "f"}, {"frames": 25}, {"limit": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            load(tmp_path, **options)
