"""Folders with little room: a small disk in memory where root may mount one, else a quota."""

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_DISK = 2**23  # bytes of the small disk
_FILLER = ".filler"


class SmallDisk:
    """A folder on a disk of its own, of which all but some bytes are taken for a while."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.mounted = os.geteuid() == 0 and _mount(folder)

    @contextlib.contextmanager
    def filled(self, room: int) -> Iterator[None]:
        """Leave so many bytes of room in here. Without a disk: files have at most so many."""
        if not self.mounted:
            with file_size_limit(room):
                yield
            return
        filler = self.folder / _FILLER
        taken = max(0, shutil.disk_usage(self.folder).free - room)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, taken))
        try:
            yield
        finally:
            filler.unlink()

    def clear(self) -> None:
        """Remove everything from it."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def close(self) -> None:
        """Take the disk away."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file that this process writes grows beyond a size, as under ``ulimit -f``."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False
