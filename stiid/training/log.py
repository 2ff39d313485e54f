"""Log of a training run: JSON lines (the record), CSV and TensorBoard (views of it), progress bar.

A run may be killed at any moment and resumed from its last checkpoint. The log of the resumed run
holds each step once: what was logged after the checkpoint is dropped on resuming.
"""

import csv
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
from tensorboardX import SummaryWriter
from tqdm import tqdm

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
            kept = [text for text, row in _complete_lines(self._jsonl) if row["step"] <= last]
            temporary = self._jsonl.with_suffix(".jsonl.tmp")
            temporary.write_text("".join(f"{text}\n" for text in kept), encoding="ascii")
            os.replace(temporary, self._jsonl)
        self._file = self._jsonl.open("a", encoding="ascii")
        # The suffix keeps apart two event files that were begun in the same second.
        self._board = SummaryWriter(
            str(self._jsonl.parent / "tensorboard"),
            purge_step=last + 1,
            flush_secs=30,
            filename_suffix=f".{last + 1}",
        )

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
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, int(step))

    def write_image(self, step: int, tag: str, image: np.ndarray) -> None:
        """Shows a uint8 image [H, W, 3] in TensorBoard."""
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {image.shape}")
        if self._enabled:
            self._board.add_image(tag, image, int(step), dataformats="HWC")

    def close(self) -> None:
        """Flushes everything and writes the CSV file."""
        if self._enabled:
            self._enabled = False
            self._file.close()
            self._board.close()
            export_csv(self._jsonl, self._jsonl.with_suffix(".csv"))

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Rows of a `metrics.jsonl`, non-finite values restored; a torn last line is left out."""
    rows = []
    for _, row in _complete_lines(Path(path)):
        odd = row.pop(_NON_FINITE, {})
        rows.append(row | {name: float(text) for name, text in odd.items()})
    return rows


def export_csv(jsonl: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Writes a log as one table; a scalar that a row lacks is an empty cell."""
    rows = read_log(jsonl)
    columns = list(dict.fromkeys([*_FIXED, *(name for row in rows for name in row)]))
    temporary = Path(path).with_suffix(".csv.tmp")
    with temporary.open("w", encoding="ascii", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    os.replace(temporary, path)


def _complete_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Lines as text and as objects, without a last line that was cut off by the end of a process.

    Such a line ends without a newline; whatever else is not JSON is an error.
    """
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            if line:
                rows.append((line, json.loads(line)))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
    return rows


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
        if enabled and sys.stderr.isatty():
            self._bar = tqdm(
                total=total, initial=initial, unit="step", dynamic_ncols=True, file=sys.stderr
            )

    def expect(self, total: int) -> None:
        """Tells that `total` is the last step now."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total
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
