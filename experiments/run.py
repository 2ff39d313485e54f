"""Make a table or figure of the paper.

    python -m experiments.run NAME --scale=paper|small [--seeds=3] [--only=ROW,…] \
        [--workdir=runs/experiments] [--output=experiments/results] [--config.FIELD=VALUE …]
    python -m experiments.run NAME --scale=paper|small --rewrite

The command trains missing models, seed by seed: interrupted trainings resume, complete ones are
kept, and rows of several results share equal trainings. Then it measures every row, and writes
NAME-SCALE.json, NAME-SCALE.md and, for a figure, the figure. If all runs exist, it only writes
these files again. If a row fails, its last line is reported, the others continue, and the exit code
is 1. ``--only`` takes names of the column "row", with * and ?; other rows are shown if they exist.
Runs in older files are kept if they come from the same trainings and tests in another workdir;
others are left out, with a message. A changed field is changed in every config that has it; if that
would remove runs from a file, another ``--output`` is required. ``--rewrite`` runs nothing: it
writes NAME-SCALE.md again from NAME-SCALE.json, for notes and labels that have changed since.
"""

import argparse
import fnmatch
import importlib
import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.commands import CommandError, leave_on_sigterm
from experiments.config_files import load_config
from experiments.markdown import table
from experiments.records import FAILED, row_record
from experiments.result import (
    SCALES,
    Changes,
    PaperResult,
    RequestError,
    Row,
    has_field,
)
from experiments.runner import Runner
from experiments.seeds import processor
from stiid.data.workers import available_cores
from stiid.files import atomic_path, write_json

NAMES = (
    "table1_decomposition",
    "table2_generalization",
    "table3_ablation",
    "table4_refinements",
    "table5_schedule",
    "fig4_velocity",
    "fig5_prediction",
    "fig14_latent_walk",
    "animations",
    "recipe",
    "authors",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--only", default="*", metavar="ROW,…")
    parser.add_argument("--workdir", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--output", type=Path, default=Path("experiments/results"))
    parser.add_argument("--rewrite", action="store_true", help="run nothing, write the table again")
    options, further = parser.parse_known_args(argv)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    changes = {}
    for word in further:
        name, equals, value = word.removeprefix("--config.").partition("=")
        if not word.startswith("--config.") or not equals:
            parser.error(f"unexpected argument {word}: changes are --config.FIELD=VALUE")
        if name == "seed":
            parser.error("--config.seed: seeds are counted from 0 on, use --seeds")
        changes[name] = value
    try:
        result = importlib.import_module(f"experiments.{options.name}").result(options.scale)
        if options.rewrite:
            return rewrite(result, options.scale, output=options.output)
        return make(
            result,
            options.scale,
            seeds=range(options.seeds),
            only=options.only,
            workdir=options.workdir,
            output=options.output,
            changes=changes,
        )
    except RequestError as error:
        parser.error(str(error))


def make(
    result: PaperResult,
    scale: str,
    *,
    seeds: Sequence[int],
    only: str,
    workdir: Path,
    output: Path,
    changes: Changes,
) -> int:
    """Train, measure and write a result; 1 if some row failed, else 0.

    Args:
      result: the table or figure.
      scale: one of ``SCALES``.
      seeds: of the trainings.
      only: patterns of rows, separated by commas.
      workdir: of trainings and measurements.
      output: of the files of the result.
      changes: of every config that has such a field.

    Raises:
      RequestError: no row matches, no config has a changed field, or the files of the result are
        damaged or hold runs without these changes.
    """
    wanted = _chosen(result.rows, only)
    _check_changes(wanted, changes)
    runner = Runner(workdir, changes)
    rows = [runner.resolve(row) for row in result.rows]
    stem = output / f"{result.name}-{scale}"
    before = _runs_before(stem.with_suffix(".json"))
    if changes:
        _check_kept(rows, before, runner, where=stem.with_suffix(".json"))
    errors: dict[str, dict[int, str]] = {}
    for seed in seeds:
        for row in wanted:
            print(f"{result.name}: {row.name}, seed {seed}", file=sys.stderr, flush=True)
            try:
                runner.run(runner.resolve(row), seed)
            except CommandError as error:
                errors.setdefault(row.name, {})[seed] = str(error)
    counted = _counted(seeds, rows, before, runner)
    records = [
        row_record(
            result,
            row,
            runner,
            counted,
            errors=errors.get(row.name, {}),
            before=before.get(row.name, []),
        )
        for row in rows
    ]
    for name, seed in _left_out(before, records):
        print(f"{name}, seed {seed}: left out, it is of another config or test", file=sys.stderr)
    content = {
        "result": result.name,
        "scale": scale,
        "seeds": list(counted),
        "changes": dict(changes),
        "hardware": f"{processor()}, {available_cores()} cores visible, {platform.system()}",
        "rows": records,
    }
    write_json(stem.with_suffix(".json"), content)
    text = _write_table(stem.with_suffix(".md"), result, content)
    written = [stem.with_suffix(".json"), stem.with_suffix(".md")]
    if result.draw is not None:
        folders = [
            runner.folders(row, seeds[0])[0] if runner.read(row, seeds[0]) else None for row in rows
        ]
        written += result.draw(stem, records, folders)
    print(text)
    print(f"wrote {shlex.join(map(str, written))}")
    return int(any(record["status"] == FAILED for record in records))


def rewrite(result: PaperResult, scale: str, *, output: Path) -> int:
    """Write a result's Markdown again from its JSON, and return 0; the JSON stays as it is.

    Args:
      result: the table or figure.
      scale: one of ``SCALES``.
      output: of the files of the result.

    Raises:
      RequestError: there is no such file, or it is damaged.
    """
    path = output / f"{result.name}-{scale}.json"
    if not path.exists():
        raise RequestError(f"--rewrite: there is no {path}: make it without --rewrite")
    _runs_before(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    _write_table(path.with_suffix(".md"), result, content)
    print(f"wrote {path.with_suffix('.md')}")
    return 0


def _write_table(path: Path, result: PaperResult, content: Mapping[str, Any]) -> str:
    """Write the content of a result's JSON as Markdown, and return the text."""
    rows, seeds, changes = content["rows"], content["seeds"], content["changes"]
    text = table(result, content["scale"], rows, seeds=seeds, changes=changes)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _runs_before(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Runs of each row in an older file of results."""
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {row["row"]: row["runs"] for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} is no file of results ({error!r}): restore or remove it, or give another "
            "--output"
        ) from error


def _check_kept(
    rows: Sequence[Row],
    before: Mapping[str, Sequence[Mapping[str, Any]]],
    runner: Runner,
    *,
    where: Path,
) -> None:
    for row in rows:
        for run in before.get(row.name, []):
            if not runner.would_repeat(row, run):
                raise RequestError(
                    f"{where} holds {row.name}, seed {run['seed']}, without these changes, and "
                    "would lose it: give another --output"
                )


def _counted(
    seeds: Sequence[int],
    rows: Sequence[Row],
    before: Mapping[str, Sequence[Mapping[str, Any]]],
    runner: Runner,
) -> range:
    """Seeds in the means: the requested ones, and those of runs that are kept."""
    kept = [
        run["seed"]
        for row in rows
        for run in before.get(row.name, [])
        if runner.would_repeat(row, run)
    ]
    return range(1 + max([*seeds, *kept]))


def _left_out(
    before: Mapping[str, Sequence[Mapping[str, Any]]], records: Sequence[Mapping[str, Any]]
) -> list[tuple[str, int]]:
    """Row and seed of the runs in an older file that are not in the new records."""
    kept = {(record["row"], run["seed"]) for record in records for run in record["runs"]}
    runs = [(name, run["seed"]) for name, runs in before.items() for run in runs]
    return [run for run in runs if run not in kept]


def _chosen(rows: Sequence[Row], only: str) -> list[Row]:
    patterns = only.split(",")
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(row.name, pattern) for row in rows):
            names = ", ".join(row.name for row in rows)
            raise RequestError(f"--only: no row {pattern!r}, there are {names}")
    return [row for row in rows if any(fnmatch.fnmatchcase(row.name, p) for p in patterns)]


def _check_changes(rows: Sequence[Row], changes: Changes) -> None:
    configs = {row.training.config for row in rows}
    configs |= {one.config for row in rows for one in row.measurements if one.config}
    known = [load_config(name) for name in sorted(configs)] if changes else []
    for name in changes:
        if not any(has_field(config, name) for config in known):
            raise RequestError(f"--config.{name}: no config of these rows has this field")


if __name__ == "__main__":
    leave_on_sigterm()
    sys.exit(main())
