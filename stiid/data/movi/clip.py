"""A clip of MOVi from its record, a serialized tf.train.Example as TFDS lays it out.

Features of an Example have flat names: "video" and "segmentations" are lists of PNG images, one per
frame; "camera/positions" and the like are flat lists of numbers. "instances/bboxes" has a box for
every frame in which an object is visible, of all objects in turn ("…/ragged_flat_values"), and how
many each object has ("…/ragged_row_lengths_0"); "instances/bbox_frames" has their frames likewise.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from stiid.data.view import View
from stiid.errors import first_line

CAMERA = {"positions": 3, "quaternions": 4}  # numbers per frame
LENS = ("focal_length", "sensor_width", "field_of_view")
_RAGGED = ("ragged_flat_values", "ragged_row_lengths_0")
_BOX = 4


def read_clip(record: bytes, *, view: View, frames: int) -> dict[str, Any]:
    """Read the first frames of a clip.

    Args:
      record: the bytes of a record.
      view: how an image becomes a frame.
      frames: T.

    Returns:
      video, masks, n_objects as `source.Source` requires; name: text; boxes: float32 [n, T, 4],
      (top, left, bottom, right) of each object in [0, 1], 0 where it is not visible;
      camera_positions: float32 [T, 3]; camera_quaternions: float32 [T, 4]; lens: float32 [3],
      the numbers of `LENS`.

    Raises:
      ValueError: if the record is no such Example.
    """
    try:
        features = tf_example_pb2.Example.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError(f"it is no tf.train.Example ({first_line(error)})") from error
    video = [view.frame(image) for image in _images(features, "video", "RGB", frames)]
    ids = [view.ids(image) for image in _images(features, "segmentations", "L", frames)]
    (count,) = _numbers(features, "metadata/num_instances", 1)
    masks = np.stack(ids)
    if masks.max() > count:
        raise ValueError(f"segmentations have the id {masks.max()}, num_instances is {count}")
    camera = {
        f"camera_{name}": _per_frame(features, f"camera/{name}", size, frames)
        for name, size in CAMERA.items()
    }
    lens = [_numbers(features, f"camera/{name}", 1)[0] for name in LENS]
    return {
        "video": np.stack(video),
        "masks": masks,
        "n_objects": int(count),
        "name": _values(features, "metadata/video_name")[0].decode(),
        "boxes": _boxes(features, int(count), frames),
        **camera,
        "lens": np.array(lens, np.float32),
    }


def _values(features: Any, name: str) -> Sequence[Any]:
    if name not in features or not (kind := features[name].WhichOneof("kind")):
        raise ValueError(f"it has no feature {name!r}: expected a clip of MOVi")
    return getattr(features[name], kind).value


def _images(features: Any, name: str, mode: str, frames: int) -> list[np.ndarray]:
    """The first images of a feature, uint8 [H, W, 3] or [H, W]."""
    values = _values(features, name)
    if len(values) < frames:
        raise ValueError(f"{name} has {len(values)} frames, asked for {frames}: lower frames")
    images = []
    for number, value in enumerate(values[:frames]):
        try:
            with Image.open(io.BytesIO(value), formats=("PNG",)) as image:
                if image.mode != mode:
                    raise ValueError(f"it has mode {image.mode}, expected {mode}")
                images.append(np.asarray(image))
        except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{name}, frame {number}: {first_line(error)}") from error
    if len({image.shape[:2] for image in images}) > 1:
        raise ValueError(f"{name} has frames of different sizes")
    return images


def _numbers(features: Any, name: str, count: int) -> np.ndarray:
    values = _values(features, name)
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values, expected {count}")
    return np.array(values)


def _per_frame(features: Any, name: str, size: int, frames: int) -> np.ndarray:
    """float32 [frames, size] of the first frames."""
    values = np.array(_values(features, name), np.float32)
    if len(values) < size * frames or len(values) % size:
        raise ValueError(f"{name} has {len(values)} values, expected {size} per frame")
    return values.reshape(-1, size)[:frames]


def _boxes(features: Any, count: int, frames: int) -> np.ndarray:
    boxes = np.zeros((count, frames, _BOX), np.float32)
    flat, lengths = (_values(features, f"instances/bboxes/{part}") for part in _RAGGED)
    times, same = (_values(features, f"instances/bbox_frames/{part}") for part in _RAGGED)
    if list(lengths) != list(same) or len(lengths) != count or len(flat) != _BOX * len(times):
        raise ValueError("instances/bboxes and bbox_frames do not fit each other")
    objects = np.repeat(np.arange(count), lengths)
    places = np.array(times, int)
    seen = places < frames
    boxes[objects[seen], places[seen]] = np.array(flat, np.float32).reshape(-1, _BOX)[seen]
    return boxes
