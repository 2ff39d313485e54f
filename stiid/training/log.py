"""Log of a training run: JSON lines (the record), CSV and TensorBoard (views of it).

A run may be killed at any moment and resumed from its last checkpoint. The log of the resumed run
holds each step once: lines that were logged after the checkpoint are dropped on resuming. Logging
never stops a training: while the disk is full, lines wait in memory, and damaged lines are moved to
another file.
"""

import contextlib
import csv
import errno
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stiid.errors import first_line
from stiid.files import atomic_path
from stiid.training.board import Board

_LOG = logging.getLogger("stiid")
_FIXED = ("step", "split", "time")  # columns of every line
_NON_FINITE = "non_finite"


class MetricWriter:
    """Write scalars as JSON lines (each flushed), to TensorBoard, and as CSV when closed.

    JSON has no NaN and no infinity: such a value is written as null, and its name is kept under the
    key "non_finite", as in `{..., "loss": null, "non_finite": {"loss": "nan"}}`.

    Args:
      directory: of the files; event files go to its subdirectory `tensorboard`.
      resume_step: step of the checkpoint that the run continues; lines of later steps are dropped.
        None starts from the beginning: all lines of an earlier log are dropped.
      enabled: true on one process only; the others write nothing.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        resume_step: int | None = None,
        enabled: bool = True,
    ):
        self._enabled = enabled
        if not enabled:
            return
        self._jsonl = Path(directory) / "metrics.jsonl"
        self._jsonl.parent.mkdir(parents=True, exist_ok=True)
        last = -1 if resume_step is None else resume_step
        if self._jsonl.exists():
            lines, damaged = _sort_lines(self._jsonl)
            kept = [text for text, row in lines if row["step"] <= last]
            with atomic_path(self._jsonl) as temporary:
                temporary.write_text("".join(f"{text}\n" for text in kept), encoding="ascii")
            if damaged:
                _set_aside(self._jsonl, damaged)
        self._lines = _Lines(self._jsonl)
        self._board = Board(self._jsonl.parent / "tensorboard", purge_step=last + 1)

    def write(self, step: int, split: str, scalars: Mapping[str, float]) -> None:
        """Log `scalars` (anything that `float` accepts) of a split such as "train" or "eval"."""
        if not self._enabled:
            return
        reserved = {*_FIXED, _NON_FINITE} & set(scalars)
        if reserved:
            raise ValueError(f"{sorted(reserved)} cannot be the name of a scalar: rename it")
        values = {name: float(value) for name, value in scalars.items()}
        odd = {name: str(value) for name, value in values.items() if not math.isfinite(value)}
        row: dict[str, Any] = {"step": int(step), "split": split, "time": round(time.time(), 3)}
        row |= {name: None if name in odd else value for name, value in values.items()}
        if odd:
            row[_NON_FINITE] = odd
        self._lines.append(json.dumps(row, allow_nan=False))
        self._board.scalars(int(step), {f"{split}/{name}": value for name, value in values.items()})

    def write_image(self, step: int, tag: str, image: np.ndarray) -> None:
        """Show a uint8 image [H, W, 3] in TensorBoard."""
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {image.shape}")
        if self._enabled:
            self._board.image(int(step), tag, image)

    def write_text(self, step: int, tag: str, text: str) -> None:
        """Show lines of text in TensorBoard."""
        if self._enabled:
            self._board.text(int(step), tag, text)

    def close(self) -> None:
        """Write pending lines, and the CSV file. A full disk causes a warning, not an error."""
        if self._enabled:
            self._enabled = False
            self._lines.close()
            self._board.close()
            table = self._jsonl.with_suffix(".csv")
            try:
                export_csv(self._jsonl, table)
            except OSError as error:
                _LOG.warning("cannot write %s (%s)", table, first_line(error))

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Rows of a `metrics.jsonl`, non-finite values restored.

    An incomplete last line is left out. So are damaged lines, with a warning.
    """
    lines, damaged = _sort_lines(Path(path))
    if damaged:
        _LOG.warning("%s: damaged lines are left out: %s", path, _numbers(damaged))
    rows = []
    for _, row in lines:
        odd = row.pop(_NON_FINITE, {})
        rows.append(row | {name: float(text) for name, text in odd.items()})
    return rows


def export_csv(jsonl: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write a log as one table; a scalar that a row lacks is an empty cell."""
    rows = read_log(jsonl)
    columns = list(dict.fromkeys([*_FIXED, *(name for row in rows for name in row)]))
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


class _Lines:
    """Append lines to a file. If the disk is full, they wait and are tried again with the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._waiting = b""
        self._told = False

    def append(self, line: str) -> None:
        self._waiting += f"{line}\n".encode("ascii")
        self._write()

    def close(self) -> None:
        self._write()
        if self._waiting:
            _LOG.warning("%s lacks its last %d lines", self._path, self._waiting.count(b"\n"))
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self) -> None:
        size = None
        try:
            size = os.fstat(self._file.fileno()).st_size
            if self._waiting and self._file.write(self._waiting) != len(self._waiting):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):  # a line is written whole or not at all
                if size is not None:
                    self._file.truncate(size)
            if not self._told:
                _LOG.warning(
                    "cannot write %s (%s): its lines wait in memory, training goes on",
                    self._path,
                    first_line(error),
                )
            self._told = True
        else:
            self._waiting, self._told = b"", False


_Damaged = list[tuple[int, str]]  # number of a line, from 1, and its text


def _sort_lines(path: Path) -> tuple[list[tuple[str, dict[str, Any]]], _Damaged]:
    """Lines as text and as rows, and the damaged lines.

    A last line without a newline was cut off when a process ended: if it is no row, it is left out
    of both.
    """
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    rows, damaged = [], []
    for number, line in enumerate(lines, 1):
        row = _row(line)
        if row is not None:
            rows.append((line, row))
        elif line and number < len(lines):
            damaged.append((number, line))
    return rows, damaged


def _row(line: str) -> dict[str, Any] | None:
    """Parse a line; None if ``MetricWriter`` cannot have written it."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    odd = row.get(_NON_FINITE, {})
    whole = (
        isinstance(row.get("split"), str)
        and isinstance(odd, dict)
        and all(text in ("nan", "inf", "-inf") for text in odd.values())
        and all(
            value is None or isinstance(value, int | float)
            for name, value in row.items()
            if name not in ("split", _NON_FINITE)
        )
    )
    return row if whole else None


def _set_aside(jsonl: Path, damaged: _Damaged) -> None:
    """Move damaged lines to a file beside the log."""
    aside = jsonl.with_name("metrics.damaged.txt")
    _LOG.warning("%s: damaged lines go to %s: %s", jsonl, aside.name, _numbers(damaged))
    with aside.open("a", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for _, text in damaged)


def _numbers(damaged: _Damaged) -> str:
    more = ", …" if len(damaged) > 5 else ""
    return ", ".join(str(number) for number, _ in damaged[:5]) + more
