"""Check the options of data sources, which are frozen dataclasses."""

import dataclasses
import math
import numbers
from typing import Any

from stiid.paths import refuse_url

PLACES = ("path", "published", "masks", "tracklets")  # options that may name files


def check_types(options: Any) -> None:
    """Convert every field of a frozen dataclass to its annotated type; for `__post_init__`.

    Known types are int, float, str and tuple[int, ...] or tuple[float, ...]. Sequences may be given
    as lists, and a single number stands for a sequence of one.

    Raises:
      TypeError: if a value has another type or is not finite.
      ValueError: if a path is not local.
    """
    for field in dataclasses.fields(options):
        value = _convert(field.name, getattr(options, field.name), field.type)
        if field.name in PLACES:
            refuse_url(value, field.name)
        object.__setattr__(options, field.name, value)


def _convert(name: str, value: Any, kind: Any) -> Any:
    if kind is str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {value!r}")
        return value
    if kind not in (int, float):
        kind = kind.__args__[0]
        items = value if isinstance(value, tuple | list) else (value,)
        return tuple(_convert(name, item, kind) for item in items)
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not math.isfinite(value)
        or kind(value) != value
    ):
        raise TypeError(f"{name} takes finite {kind.__name__} values, got {value!r}")
    return kind(value)
