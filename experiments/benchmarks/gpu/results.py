"""Rows of figures, written as they are measured and read for the summary."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stiid.files import write_json


class Rows:
    """Rows of one step; each is written to the file as soon as it is known.

    Args:
      path: JSON, {"rows": [{column: value}, …]}.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.rows: list[dict[str, Any]] = []

    def add(self, **row: Any) -> None:
        """Write one row more."""
        self.rows.append(row)
        print(row, flush=True)
        write_json(self._path, {"rows": self.rows})


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none if the step wrote nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return rows
    return []


def markdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table with a column for every field that some row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *cells)]


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "/").split())
