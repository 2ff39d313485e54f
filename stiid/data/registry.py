"""Data sources by name."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from stiid.data.bouncing_balls import BallsSpec, BouncingBalls, BouncingBallsConfig
from stiid.data.source import Source, TfdsSource, prepare


class _Entry(NamedTuple):
    spec: type  # dataclass whose fields are the options
    open: Callable[[Any, str, str], Source]  # (spec, split, data_dir)


def _open_bouncing_balls(spec: BallsSpec, split: str, data_dir: str) -> Source:
    if not spec.counts.get(split):
        raise ValueError(
            f"split must be one of {tuple(name for name, count in spec.counts.items() if count)}, "
            f"got {split!r}: choose another one or set its number of clips"
        )
    config = BouncingBallsConfig(spec=spec)
    return TfdsSource(prepare(BouncingBalls, config=config, data_dir=data_dir), split)


_ENTRIES = {"bouncing_balls": _Entry(BallsSpec, _open_bouncing_balls)}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(_ENTRIES)


def load(name: str, split: str, *, data_dir: str, **options: Any) -> Source:
    """Opens a split of a data source and prepares the source on first use.

    Args:
        name: One of `names()`.
        split: "train", "validation" or "test".
        data_dir: Directory of all prepared data; each set of options gets its own directory below.
        **options: Flat options of the source; for "bouncing_balls" the fields of `BallsSpec`.

    Returns:
        The split, see `Source`.

    Raises:
        ValueError: If the name, the split or the value of an option is wrong.
        TypeError: If an option does not exist or has the wrong type.
        OSError: If the data cannot be written.
    """
    if name not in _ENTRIES:
        raise ValueError(f"name must be one of {names()}, got {name!r}")
    entry = _ENTRIES[name]
    known = tuple(field.name for field in dataclasses.fields(entry.spec))
    unknown = tuple(sorted(options.keys() - set(known)))
    if unknown:
        raise TypeError(f"{name} has no options {unknown}: remove them, the options are {known}")
    return entry.open(entry.spec(**options), split, data_dir)
