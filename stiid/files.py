"""Files that are whole or not there.

What is written goes beside its target under a hidden name, reaches the disk, and is then renamed.
The hidden name says which process of which machine writes, so that what a killed one left behind is
known and swept by the next.
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
# What file systems answer that have no locks, or (NFS) none for what is open for reading.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary directory beside `path` that replaces `path` if the block succeeds.

    If the block raises, the temporary directory is removed and an older `path` stays as it was.
    Errors of the disk name the path.
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
    """Yields a temporary path beside `path` that becomes `path` if the block succeeds.

    If the block raises, the temporary file is removed and an older `path` stays as it was. Missing
    parent directories are made; the temporary name keeps the suffix, which tells the file format.
    Errors of the disk name the path.
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
    """Write JSON, whole or not at all. JSON knows no NaN and no infinity: they become null."""
    with atomic_path(path) as temporary:
        text = json.dumps(_without_non_finite(content), indent=2, allow_nan=False)
        temporary.write_text(f"{text}\n", encoding="utf-8")


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lets nobody else write to a folder, which is made if it is missing.

    The lock is on the folder itself, and ends with the process, however that ends.

    Raises:
      ValueError: another process holds it.
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

    A file system that knows no locks is used without, after a warning.

    Args:
      descriptor: of the file.
      path: its name, for the warning.
      wait: until the other process lets go.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _LOG.warning(
            "%s is on a file system without locks (%s): see to it that no second process writes "
            "there",
            path,
            first_line(error),
        )
    return True


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder.

    One that was killed while it replaced a directory in two steps may have left the older one
    aside: it is put back.
    """
    try:
        names = sorted(folder.iterdir())
    except PermissionError:  # writing tells
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
    """This process, as temporary names tell it: "MACHINE-PID"."""
    return f"{_machine()}-{os.getpid()}"


@functools.cache
def _machine() -> str:
    """Where process numbers mean the same: host and, of containers, the space of processes."""
    space = Path("/proc/self/ns/pid")
    number = space.stat().st_ino if space.exists() else 0
    return f"{zlib.crc32(f'{socket.gethostname()}/{number}'.encode()):08x}"


def _ended(machine: str, pid: int) -> bool:
    """Whether a process is known to run no more."""
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
    """Errors of the system name the target, where they name nothing or what is hidden beside it."""
    try:
        yield
    except OSError as error:
        name = path if error.filename is None else _target(str(error.filename), path)
        if error.errno is None or name is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(name)) from error


def _target(name: str, path: Path) -> Path | None:
    """What a temporary name beside a path, or below such a one, is going to be called."""
    parts = Path(os.path.relpath(name, path.parent)).parts
    match = _TEMPORARY.fullmatch(parts[0]) if parts else None
    known = match is not None and match[1] in (path.name, path.stem)
    return path.joinpath(*parts[1:]) if known else None


def _to_disk(path: Path) -> None:
    """Wait until a file or a folder is on the disk, so that a rename never comes before it."""
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
    """Swap two directories in one step; false where the system or the file system cannot."""
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
    """For systems that cannot exchange: a process killed in between leaves ``sweep`` its work."""
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
