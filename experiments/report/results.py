"""Report of a folder of results: JSON files of any form, as tables and curves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.report.curves import charts
from experiments.report.experiment_results import described_experiment, is_experiment
from experiments.report.logs import log_charts
from experiments.report.markup import Html, join, tag
from experiments.report.media import Media
from experiments.report.page import Section, facts, missing
from experiments.report.tables import score_table

_LEVELS = 6  # of headings


def is_results(folder: Path) -> bool:
    """Whether there are files of results."""
    return bool(_files(folder))


def sections(folder: Path) -> list[Section]:
    """Make a section per file, with the image of the same name if there is one."""
    media = Media()
    return [Section(path.stem, _file(path, media)) for path in _files(folder)]


def _files(folder: Path) -> list[Path]:
    """Files of results, without hidden ones, which are incomplete."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _file(path: Path, media: Media) -> Html:
    image = path.with_suffix(".png")
    shown = [media.image(image, f"Image of {path.stem}")] if image.exists() else []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mapping = content if isinstance(content, Mapping) else {"": content}
        known = is_experiment(mapping)
        text = described_experiment(mapping) if known else described(mapping, ())
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
    ) as error:  # files of any origin and form
        text = missing(f"{path.name} cannot be shown: {error}")
    return join(*shown, text)


def described(value: Mapping[str, Any], above: tuple[str, ...]) -> Html:
    """Describe a mapping: its scalars as a list, all else under further headings.

    Args:
      value: the mapping.
      above: headings above it.
    """
    scalars = {key: entry for key, entry in value.items() if not _nested(entry)}
    parts = [facts(scalars)] if scalars else []
    for key, entry in value.items():
        if _nested(entry):
            level = min(3 + len(above), _LEVELS)
            parts += [tag(f"h{level}", key), _entry(entry, (*above, key))]
    return join(*parts)


def _entry(entry: Any, above: tuple[str, ...]) -> Html:
    if isinstance(entry, Mapping):
        alike = entry and all(isinstance(member, Mapping) for member in entry.values())
        return compared(entry, above) if alike else described(entry, above)
    if _is_log(entry):
        return charts(log_charts({"": entry}))
    if all(isinstance(row, Mapping) and not any(map(_nested, row.values())) for row in entry):
        rows = {str(i): row for i, row in enumerate(entry)}
        return score_table(rows, corner="", caption=" · ".join(above))
    return tag("pre", json.dumps(entry, indent=1, ensure_ascii=False))


def compared(members: Mapping[str, Mapping[str, Any]], above: tuple[str, ...]) -> Html:
    """Compare mappings of one kind: a row of a table, or a curve, for each."""
    parts = []
    rows = {
        name: {key: entry for key, entry in member.items() if not _nested(entry)}
        for name, member in members.items()
    }
    if any(rows.values()):
        parts.append(score_table(rows, corner="", caption=" · ".join(above)))
    nested = dict.fromkeys(k for m in members.values() for k, entry in m.items() if _nested(entry))
    for key in nested:
        entries = {name: member[key] for name, member in members.items() if key in member}
        place = (*above, key)
        if all(map(_is_log, entries.values())):
            parts += [tag(f"h{min(2 + len(place), _LEVELS)}", key), charts(log_charts(entries))]
        elif all(isinstance(entry, Mapping) for entry in entries.values()):
            parts.append(compared(_flat(entries), place))
        else:
            parts += [_entry(entry, (*place, name)) for name, entry in entries.items()]
    return join(*parts)


def _flat(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Flatten nested mappings: keys become "seed · length"."""
    deeper = all(isinstance(v, Mapping) for entry in entries.values() for v in entry.values())
    if not deeper:
        return dict(entries)
    return {
        f"{name} · {inner}": member
        for name, entry in entries.items()
        for inner, member in entry.items()
    }


def _nested(entry: Any) -> bool:
    return isinstance(entry, Mapping | list)


def _is_log(entry: Any) -> bool:
    return (
        isinstance(entry, Sequence)
        and bool(entry)
        and all(isinstance(row, Mapping) and "step" in row for row in entry)
    )
