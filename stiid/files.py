"""Files that are whole or not there."""

import fcntl
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary directory beside `path` that replaces `path` if the block succeeds.

    If the block raises, the temporary directory is removed and an older `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        if path.exists():
            older = temporary.with_suffix(".old")
            os.replace(path, older)
            try:
                os.replace(temporary, path)
            except BaseException:
                os.replace(older, path)
                raise
            shutil.rmtree(older)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path` that becomes `path` if the block succeeds.

    If the block raises, the temporary file is removed and an older `path` stays as it was. Missing
    parent directories are made; the temporary name keeps the suffix, which tells the file format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process writes to {folder}: wait for it, or use another --workdir"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _without_non_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
