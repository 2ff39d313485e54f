"""Train and measure rows, and read existing results."""

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.commands import CommandError, cost, is_complete, run_once
from experiments.config_files import load_config
from experiments.result import Changes, Measurement, Row, arguments, has_field


class Runner:
    """Runs the commands of rows in one workdir; equal commands of several rows run once.

    Args:
      workdir: of all results; see ``Training.folder``.
      changes: field → value, for every config that has the field.
    """

    def __init__(self, workdir: Path, changes: Changes) -> None:
        self._workdir, self._changes = workdir, changes
        self._failed: dict[Path, str] = {}

    def resolve(self, row: Row) -> Row:
        """Apply the changes to a row where they fit."""
        training = dataclasses.replace(
            row.training, changes={**row.training.changes, **self._fitting(row.training.config)}
        )
        measurements = tuple(
            dataclasses.replace(
                one, changes={**one.changes, **self._fitting(one.config or training.config)}
            )
            for one in row.measurements
        )
        return dataclasses.replace(row, training=training, measurements=measurements)

    def run(self, row: Row, seed: int) -> None:
        """Train the model of a resolved row, and measure it, unless that is done.

        Raises:
          CommandError: a command failed, now or for another row; the message is its last line.
        """
        training = row.training
        folder = self._workdir / training.folder(seed)
        command = ["stiid.main", f"--config={training.config}", f"--workdir={folder}"]
        self._once(folder, [*command, f"--config.seed={seed}", *arguments(training.changes)])
        for one, target in zip(row.measurements, self.folders(row, seed), strict=True):
            self._once(target, self._measuring(row, one, seed))

    def read(self, row: Row, seed: int) -> list[dict[str, Any]] | None:
        """Read the results of a resolved row's measurements; None if one is missing."""
        folders = self.folders(row, seed)
        if not all(is_complete(folder) for folder in folders):
            return None
        pairs = zip(folders, row.measurements, strict=True)
        return [json.loads((folder / one.program.writes).read_text()) for folder, one in pairs]

    def would_repeat(self, row: Row, run: Mapping[str, Any]) -> bool:
        """Whether a run, described by ``provenance``, has the same training and tests."""
        names = [str(name) for name in self._names(row, run["seed"])]
        return names == [one["folder"] for one in run["measured"]]

    def provenance(self, row: Row, seed: int) -> dict[str, Any]:
        """Origin of the numbers of a complete row, to be stored with them."""
        trained = row.training.folder(seed)
        contents, training = self.read(row, seed) or [], cost(self._workdir / trained)
        config = contents[0]["config"]
        model = _with_overrides(config["model"], config["evaluate"]["model"])
        inference = model.get("inference", {})
        measured = [(one, cost(self._workdir / one)) for one in self._names(row, seed)]
        return {
            "seed": seed,
            "slots": config["evaluate"]["num_slots"],
            "refinements": inference.get("refinements"),
            "schedule": inference.get("grid"),
            "checkpoint": str(trained / "checkpoints" / str(contents[0]["step"])),
            "step": contents[0]["step"],
            "commit": training["commit"],
            "data": contents[0]["data"],
            "command": training["command"],
            "minutes": training["minutes"],
            "measured": [
                {
                    "folder": str(name),
                    "command": _plain(one["command"], trained),
                    "minutes": one["minutes"],
                    "commit": one["commit"],
                }
                for name, one in measured
            ],
        }

    def folders(self, row: Row, seed: int) -> list[Path]:
        """Folders of the measurements of a resolved row, whether they exist or not."""
        return [self._workdir / name for name in self._names(row, seed)]

    def _names(self, row: Row, seed: int) -> list[Path]:
        return [one.folder(row.training, seed) for one in row.measurements]

    def _measuring(self, row: Row, one: Measurement, seed: int) -> list[str]:
        """The command of a measurement."""
        training = row.training
        return [
            *one.program.command,
            f"--config={one.config or training.config}",
            f"--checkpoint={self._workdir / training.folder(seed)}",
            f"--workdir={self._workdir / one.folder(training, seed)}",
            f"--config.seed={seed}",
            *arguments({**training.changes, **one.changes}),
        ]

    def _once(self, folder: Path, command: Sequence[str]) -> None:
        if folder in self._failed:
            raise CommandError(self._failed[folder])
        try:
            run_once(folder, command)
        except CommandError as error:
            self._failed[folder] = str(error)
            raise

    def _fitting(self, config: str) -> Changes:
        known = load_config(config) if self._changes else None
        return {k: v for k, v in self._changes.items() if has_field(known, k)}


def _plain(command: str, trained: Path) -> str:
    """Remove this machine's paths, all before the training's folder, from a command."""
    place = re.compile(rf"=.*?(?={re.escape(str(trained))})")
    return shlex.join(place.sub("=", word) for word in shlex.split(command))


def _with_overrides(section: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A section of a config as the evaluation changed it."""
    nested = {k: {**section[k], **v} for k, v in changes.items() if isinstance(v, dict)}
    return {**section, **changes, **nested}
