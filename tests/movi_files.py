"""Small data sets in the layout of MOVi: TFRecord shards written with tensorboardX's checksums."""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image
from tensorboardX.record_writer import masked_crc32c
from tensorflow_datasets.proto import tf_example_pb2

SIZE, FRAMES = 16, 24


def scene(number, *, objects=2, size=SIZE, frames=FRAMES):
    """A clip: squares that walk, of which the first one is hidden in every third frame."""
    rng = np.random.default_rng(number)
    video = rng.integers(0, 256, (frames, size, size, 3)).astype(np.uint8)
    masks = np.zeros((frames, size, size), np.uint8)
    boxes = np.zeros((objects, frames, 4), np.float32)
    for t, n in np.ndindex(frames, objects):
        if n or t % 3 != 2:
            top, left = rng.integers(0, size - 4, 2)
            masks[t, top : top + 4, left : left + 4] = n + 1
            boxes[n, t] = np.array([top, left, top + 4, left + 4]) / size
    return {
        "video": video,
        "masks": masks,
        "boxes": boxes,
        "name": str(1000 + number),
        "camera_positions": rng.normal(size=(frames, 3)).astype(np.float32),
        "camera_quaternions": rng.normal(size=(frames, 4)).astype(np.float32),
        "lens": np.array([35.0, 32.0, 0.857], np.float32),
    }


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def features_of(scene):
    """Name → values of the Example; types decide which list they go to."""
    seen = scene["boxes"].any(-1)  # [n, T]
    counts = [int(count) for count in seen.sum(1)]
    return {
        "video": [png(image) for image in scene["video"]],
        "segmentations": [png(image) for image in scene["masks"]],
        "metadata/video_name": [scene["name"].encode()],
        "metadata/num_instances": [len(seen)],
        "metadata/depth_range": [1.0, 20.0],
        "camera/positions": scene["camera_positions"].ravel().tolist(),
        "camera/quaternions": scene["camera_quaternions"].ravel().tolist(),
        "camera/focal_length": [35.0],
        "camera/sensor_width": [32.0],
        "camera/field_of_view": [0.857],
        "instances/bboxes/ragged_flat_values": scene["boxes"][seen].ravel().tolist(),
        "instances/bboxes/ragged_row_lengths_0": counts,
        "instances/bbox_frames/ragged_flat_values": np.nonzero(seen)[1].tolist(),
        "instances/bbox_frames/ragged_row_lengths_0": counts,
    }


def example(features):
    """A serialized tf.train.Example."""
    message = tf_example_pb2.Example()
    for name, values in features.items():
        kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        kind = kinds[type(values[0])] if values else "float_list"
        getattr(message.features.feature[name], kind).value.extend(values)
    return message.SerializeToString()


def write_shard(path, records):
    with path.open("wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", masked_crc32c(length)))
            file.write(record + struct.pack("<I", masked_crc32c(record)))


def write_movi(root, *, variant="a", splits=None, size=SIZE, version="1.0.0"):
    """Write a version of MOVi below a folder, and return its own folder.

    Args:
      root: the folder of all data sets.
      variant: its letter.
      splits: split → numbers of clips in its shards.
      size: of the images.
      version: its name.
    """
    splits = splits or {"train": (2, 3), "validation": (1, 1)}
    folder = root / f"movi_{variant}" / f"{size}x{size}" / version
    folder.mkdir(parents=True)
    for split, counts in splits.items():
        number = 100 * zlib.crc32(split.encode())
        for shard, count in enumerate(counts):
            name = f"movi_{variant}-{split}.tfrecord-{shard:05d}-of-{len(counts):05d}"
            scenes = [scene(number + i, objects=2 + i % 2, size=size) for i in range(count)]
            write_shard(folder / name, [example(features_of(each)) for each in scenes])
            number += count
    info = {
        "name": f"movi_{variant}",
        "version": version,
        "splits": [
            {"name": split, "shardLengths": [str(count) for count in counts]}
            for split, counts in splits.items()
        ],
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def scenes_of(split, count, size=SIZE, first=0):
    """What `write_movi` wrote into a split with one shard."""
    start = 100 * zlib.crc32(split.encode())
    return [scene(start + i, objects=2 + i % 2, size=size) for i in range(first, first + count)]
