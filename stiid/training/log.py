"""Log of a training run: JSON lines (the record), CSV and TensorBoard (views of it), progress bar.

A run may be killed at any moment and resumed from its last checkpoint. The log of the resumed run
holds each step once: what was logged after the checkpoint is dropped on resuming. No log stops a
training: lines that a full disk refuses wait until there is room, and damaged lines are set aside.
"""

import contextlib
import csv
import errno
import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stiid.errors import first_line
from stiid.files import atomic_path
from stiid.progress import on_terminal
from stiid.training.board import Board

_LOG = logging.getLogger("stiid")
_FIXED = ("step", "split", "time")  # columns of every line
_NON_FINITE = "non_finite"


class MetricWriter:
    """Writes scalars as JSON lines (each flushed), to TensorBoard, and as CSV when closed.

    JSON knows no NaN and no infinity: such a value is written as null, and what it was is kept
    under the key "non_finite", as in `{..., "loss": null, "non_finite": {"loss": "nan"}}`.

    Args:
      directory: where the files go; event files go to its subdirectory `tensorboard`.
      resume_step: the step of the checkpoint that the run continues; lines of later steps are
        dropped. None starts from the beginning: all lines of an earlier log are dropped.
      enabled: false on all processes but one; then nothing is touched.
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
        """Logs `scalars` (anything that `float` accepts) of a split such as "train" or "eval"."""
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
        """Shows a uint8 image [H, W, 3] in TensorBoard."""
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {image.shape}")
        if self._enabled:
            self._board.image(int(step), tag, image)

    def write_text(self, step: int, tag: str, text: str) -> None:
        """Shows lines of text in TensorBoard."""
        if self._enabled:
            self._board.text(int(step), tag, text)

    def close(self) -> None:
        """Writes what is left, and the CSV file. A disk that refuses is told, and is no error."""
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

    A torn last line is left out, and so are damaged ones, which are told.
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
    """Writes a log as one table; a scalar that a row lacks is an empty cell."""
    rows = read_log(jsonl)
    columns = list(dict.fromkeys([*_FIXED, *(name for row in rows for name in row)]))
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


class _Lines:
    """Lines of a file. What a full disk refuses waits, and is tried again with the next line."""

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
            with contextlib.suppress(OSError):  # of a line either all or nothing
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
    """Lines as text and as rows, and those that are no rows.

    A last line without a newline was cut off by the end of a process: if it is no row, it is
    neither.
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
    """What a line holds, if it can have been written by ``MetricWriter``."""
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
    """Keep damaged lines beside the log, which goes on without them."""
    aside = jsonl.with_name("metrics.damaged.txt")
    _LOG.warning("%s: damaged lines go to %s: %s", jsonl, aside.name, _numbers(damaged))
    with aside.open("a", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for _, text in damaged)


def _numbers(damaged: _Damaged) -> str:
    more = ", …" if len(damaged) > 5 else ""
    return ", ".join(str(number) for number, _ in damaged[:5]) + more


class Progress:
    """Progress over the steps of a run: a bar on a terminal, otherwise now and then a log line.

    Args:
      total: the last step.
      initial: the step that a resumed run starts from.
      interval: seconds between log lines, if standard error is not a terminal.
      enabled: false on all processes but one.
    """

    def __init__(
        self, total: int, *, initial: int = 0, interval: float = 30.0, enabled: bool = True
    ):
        self._total, self._interval, self._enabled = total, interval, enabled
        self._logged = (time.monotonic(), initial)  # of the last log line
        self._scalars = ""
        self._bar = None
        if enabled and on_terminal():
            self._bar = tqdm(
                total=total, initial=initial, unit="step", dynamic_ncols=True, file=sys.stderr
            )

    def expect(self, total: int) -> None:
        """Tells that `total` is the last step now."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total
            self._bar.refresh()

    def restart(self, step: int) -> None:
        """Tells that the time so far went into compilation: what is left is not estimated by it."""
        self._logged = (time.monotonic(), step)
        if self._bar is not None:
            self._bar.unpause()
            if self._bar.n == self._bar.initial:  # nothing has been timed yet
                self._bar.initial = step
            self._bar.n = self._bar.last_print_n = step
            self._bar.refresh()

    def update(self, step: int, scalars: Mapping[str, float] | None = None) -> None:
        """Tells that `step` steps are done; `scalars` (loss, ...) are shown until the next ones."""
        if not self._enabled:
            return
        if scalars is not None:
            self._scalars = ", ".join(f"{name}={float(v):.4g}" for name, v in scalars.items())
        now = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(self._scalars, refresh=False)
            self._bar.update(step - self._bar.n)
        elif step >= self._total or now - self._logged[0] >= self._interval:
            rate = (step - self._logged[1]) / max(now - self._logged[0], 1e-9)
            self._logged = (now, step)
            left = tqdm.format_interval((self._total - step) / rate) if rate > 0 else "?"
            _LOG.info(
                "step %d/%d, %.2f steps/s, ETA %s, %s", step, self._total, rate, left, self._scalars
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
