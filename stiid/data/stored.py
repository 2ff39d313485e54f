"""Data sets that tfds prepares on first use and stores as array_record."""

import contextlib
import io
import logging
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stiid.data.view import View
from stiid.errors import first_line, remedy
from stiid.files import take_lock
from stiid.paths import name_unlisted_users

_LOG = logging.getLogger("stiid")
# tfds keeps the examples of one shard in memory until the shard is complete.
_SHARD_BYTES = 128 * 2**20


def tensor(shape: tuple[int | None, ...], dtype: type) -> tfds.features.Tensor:
    """A feature that is stored as raw bytes; the file compresses them."""
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")


def clip_info(
    builder: tfds.core.DatasetBuilder, description: str, *, view: View, frames: int, **more: Any
) -> tfds.core.DatasetInfo:
    """What a builder of clips stores: what `source.Source` requires, and further features.

    Args:
      builder: of the data set.
      description: one sentence.
      view: size and channels of a frame.
      frames: length of a clip.
      **more: further features.
    """
    image = (frames, view.height, view.width)
    features = {
        "video": tensor((*image, view.channels), np.uint8),
        "masks": tensor(image, np.uint8),
        "id": tfds.features.Text(),
        "n_objects": tfds.features.Scalar(np.int32),
        **more,
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )


def clips_per_shard(view: View, *, frames: int, clips: int = 1) -> int:
    """Number of groups of ``clips`` clips, with their masks, that fit into a shard."""
    clip_bytes = frames * view.height * view.width * (view.channels + 1)
    return max(1, _SHARD_BYTES // (clip_bytes * clips))


class TfdsSource:
    """A split of a prepared tfds data set as a `Source`."""

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str):
        """Open `split`.

        Args:
          builder: a prepared builder, see `prepare`.
          split: name of a split, without slicing.

        Raises:
          ValueError: if there is no such split.
          OSError: if its files are damaged; access to a clip may raise it too.
        """
        splits = tuple(builder.info.splits)
        if split not in splits:
            raise ValueError(
                f"{builder.info.full_name} has the splits {splits}, got {split!r}: choose one of "
                "them, or give the data's options a share or number of clips for it"
            )
        self.fingerprint = f"{builder.info.full_name}:{split}"
        self._folder = builder.data_dir
        with _readable(self._folder):
            self._records = builder.as_data_source(split)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with _readable(self._folder):
            record = self._records[index]
        # tfds returns text as bytes.
        return {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in record.items()
        }


def find_prepared(
    builder_class: type[tfds.core.DatasetBuilder],
    *,
    config: tfds.core.BuilderConfig,
    data_dir: str,
) -> tuple[bool, str]:
    """Whether data are on disk, and their name; arguments and errors as in `prepare`."""
    names = (builder_class.name, config.name, str(builder_class.VERSION))
    with _readable(pathlib.Path(data_dir).joinpath(*names)):
        info = builder_class(config=config, data_dir=data_dir).info
    return bool(info.splits), info.full_name


def prepare(
    builder_class: type[tfds.core.DatasetBuilder],
    *,
    config: tfds.core.BuilderConfig,
    data_dir: str,
) -> tfds.core.DatasetBuilder:
    """Return a builder whose data are on disk; generate the data if necessary.

    tfds writes to a directory "incomplete.*" next to the final one and renames it at the end, so
    that an existing final directory is complete. A lock file next to it makes other processes wait
    for the one that generates. If that process dies, the operating system releases the lock, and
    the next process removes the incomplete directory.

    Args:
      builder_class: a builder that needs no TensorFlow to write array_record.
      config: config of the builder.
      data_dir: directory of all prepared data.

    Raises:
      OSError: if the data cannot be written (nothing of the data set is kept), or are damaged.
    """
    names = (builder_class.name, config.name, str(builder_class.VERSION))
    target = pathlib.Path(data_dir).joinpath(*names)
    with _readable(target):
        builder = builder_class(config=config, data_dir=data_dir)
    if builder.info.splits:  # read from the final directory
        return builder
    name_unlisted_users()
    config_dir = target.parent
    try:
        config_dir.mkdir(parents=True, exist_ok=True)
        with lock(config_dir.with_name(f"{config_dir.name}.lock")):
            if not target.exists():
                for leftover in config_dir.glob("incomplete.*"):
                    shutil.rmtree(leftover)
                _LOG.info("Preparing %s in %s", builder.name, config_dir)
                with contextlib.redirect_stdout(
                    io.StringIO()
                ):  # tfds prints messages about downloads
                    builder.download_and_prepare(
                        file_format="array_record",
                        download_config=tfds.download.DownloadConfig(try_download_gcs=False),
                    )
    except (OSError, RuntimeError) as error:  # the array_record writer raises RuntimeError
        raise OSError(
            f"cannot prepare {builder.name} in {config_dir}: {error}. Nothing incomplete was kept; "
            "if the disk is full or not writable, choose another data_dir"
        ) from error
    # A builder looks for data on disk only when it is created.
    with _readable(target):
        builder = builder_class(config=config, data_dir=data_dir)
        if not builder.info.splits:
            raise FileNotFoundError("dataset_info.json is missing")
    return builder


@contextlib.contextmanager
def _readable(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any error of a reader of damaged files into an OSError with advice."""
    try:
        yield
    except IndexError:
        raise
    except Exception as error:
        raise OSError(
            f"cannot read the data in {folder} ({first_line(error)}): "
            + remedy(error, "delete that folder; it will be generated again")
        ) from error


@contextlib.contextmanager
def lock(path: pathlib.Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, an empty file that is not removed.

    The file is opened for reading, which also works if it belongs to another user.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        if not take_lock(descriptor, path):
            print(f"Waiting for the process that prepares {path.stem}", file=sys.stderr, flush=True)
            take_lock(descriptor, path, wait=True)
        yield
    finally:
        os.close(descriptor)
