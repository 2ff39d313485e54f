"""Write files so that they are complete or do not exist.

Content is written beside its target under a hidden temporary name, flushed to the disk, and then
renamed. The temporary name contains the machine and the process that writes, so that the next
process recognizes and removes files that a killed process left behind.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import json
import logging
import math
import os
import re
import shutil
import socket
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stiid.errors import first_line

_LOG = logging.getLogger("stiid")
_TEMPORARY = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)\.(?:\w+\.)?(tmp|old)(?:\.\w+)?", re.DOTALL)
# Errors of file systems without locks, or (NFS) without locks on files opened for reading.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary directory beside `path` that replaces `path` if the block succeeds.

    If the block raises, the temporary directory is removed and an older `path` stays as it was.
    Errors of the file system name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with _named(path):
        prefix = f".{path.name}.{_owner()}."
        temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=path.parent))
        temporary.chmod(0o755)
        try:
            yield temporary
            for file in [*temporary.rglob("*"), temporary]:
                _to_disk(file)
            if not path.exists():
                os.replace(temporary, path)
            elif not _exchange(temporary, path):
                _replace_in_two_steps(temporary, path)
            _to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # after an exchange, the older one


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` if the block succeeds.

    If the block raises, the temporary file is removed and an older `path` stays as it was. Missing
    parent directories are created; the temporary name keeps the suffix, which decides the format.
    Errors of the file system name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    within = any(_TEMPORARY.fullmatch(parent.name) for parent in path.parents)
    if not within:  # a temporary directory reaches the disk as a whole
        _sweep_once(path.parent)
    temporary = path.with_name(f".{path.stem}.{_owner()}.tmp{path.suffix}")
    with _named(path):
        try:
            yield temporary
            if not within:
                _to_disk(temporary)
            os.replace(temporary, path)
            if not within:
                _to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all. JSON has no NaN and no infinity: they become null."""
    with atomic_path(path) as temporary:
        text = json.dumps(_without_non_finite(content), indent=2, allow_nan=False)
        temporary.write_text(f"{text}\n", encoding="utf-8")


def free_name(path: Path) -> Path:
    """The first of NAME_1.SUFFIX, NAME_2.SUFFIX, … that does not exist beside a path."""
    number = 1
    while (free := path.with_name(f"{path.stem}_{number}{path.suffix}")).exists():
        number += 1
    return free


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder, which is created if it is missing.

    The lock is on the folder itself, and ends when the process ends, even if it is killed.

    Raises:
      ValueError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not take_lock(descriptor, folder):
            raise ValueError(
                f"another process writes to {folder}: wait for it, or use another --workdir"
            )
        yield
    finally:
        os.close(descriptor)


def take_lock(descriptor: int, path: Path, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; false if another process holds it.

    On a file system without locks, a warning is logged and the result is true.

    Args:
      descriptor: of the file.
      path: its name, for the warning.
      wait: wait until the other process releases the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _LOG.warning(
            "%s is on a file system without locks (%s): make sure that no second process writes "
            "there",
            path,
            first_line(error),
        )
    return True


def sweep(folder: Path) -> None:
    """Remove unfinished files of killed processes from a folder.

    A process that was killed while it replaced a directory in two steps may have left the older one
    under another name: it is moved back.
    """
    try:
        names = sorted(folder.iterdir())
    except PermissionError:  # writing will report it
        return
    for left in names:
        match = _TEMPORARY.fullmatch(left.name)
        if match is None or not _ended(match[2], int(match[3])):
            continue
        with contextlib.suppress(OSError):  # another process sweeps too, or it is not ours
            if match[4] == "old" and not (folder / match[1]).exists():
                os.replace(left, folder / match[1])
            elif left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


_sweep_once = functools.cache(sweep)


def _owner() -> str:
    """Name of this process in temporary names: "MACHINE-PID"."""
    return f"{_machine()}-{os.getpid()}"


@functools.cache
def _machine() -> str:
    """Hash of host and process namespace (of a container), in which process ids are unique."""
    space = Path("/proc/self/ns/pid")
    number = space.stat().st_ino if space.exists() else 0
    return f"{zlib.crc32(f'{socket.gethostname()}/{number}'.encode()):08x}"


def _ended(machine: str, pid: int) -> bool:
    """Whether a process is known to have ended."""
    if machine != _machine():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Make file system errors name the target if they name nothing or its temporary name."""
    try:
        yield
    except OSError as error:
        name = path if error.filename is None else _target(str(error.filename), path)
        if error.errno is None or name is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(name)) from error


def _target(name: str, path: Path) -> Path | None:
    """Final name of a temporary path beside ``path``, or of a path below it; None for others."""
    parts = Path(os.path.relpath(name, path.parent)).parts
    match = _TEMPORARY.fullmatch(parts[0]) if parts else None
    known = match is not None and match[1] in (path.name, path.stem)
    return path.joinpath(*parts[1:]) if known else None


def _to_disk(path: Path) -> None:
    """Flush a file or a folder to the disk, so that a later rename cannot reach it first."""
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one step; false if the system or the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    swap = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        here = -100  # AT_FDCWD
        return library.renameat2(here, names[0], here, names[1], swap) == 0
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return library.renamex_np(*names, swap) == 0
    return False


def _replace_in_two_steps(temporary: Path, path: Path) -> None:
    """Replace without an exchange; if killed in between, ``sweep`` repairs it later."""
    older = temporary.with_suffix(".old")
    os.replace(path, older)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.replace(older, path)
        raise
    shutil.rmtree(older)


def _without_non_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
