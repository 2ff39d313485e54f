"""A folder of prepared data that two users share."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from stiid.data import registry
from stiid.data.stored import lock


@contextlib.contextmanager
def another_user():
    """This process without the rights of root, if it has them."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_lock_of_another_user_can_be_taken():
    """It is theirs to write and ours to read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.lock")
        with lock(path):
            assert path.exists()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        with another_user(), lock(path):
            assert path.read_bytes() == b""
        Path(folder).chmod(0o755)


def test_prepared_data_of_another_user_are_read_and_not_written():
    options = {"num_balls": 2, "resolution": 16, "frames": 6}
    options |= {"train": 3, "validation": 0, "test": 0}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        data.chmod(0o755)
        ours = registry.load("bouncing_balls", "train", data_dir=folder, **options)
        folders = [data, *(path for path in data.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        with another_user():
            theirs = registry.load("bouncing_balls", "train", data_dir=folder, **options)
            np.testing.assert_array_equal(theirs[2]["video"], ours[2]["video"])
            with pytest.raises(OSError, match=r"cannot prepare .* choose another data_dir"):
                registry.load("bouncing_balls", "train", data_dir=folder, **{**options, "train": 4})
        for path in folders:
            path.chmod(0o755)
