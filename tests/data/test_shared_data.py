"""A folder of prepared data that two users share."""

import contextlib
import os
import tempfile
from pathlib import Path

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
