"""Parsing of CLEVRER's JSON files: any fault is a ValueError that names the place."""

import json
from typing import Any

LIMIT = 1e6  # far above all positions, angles, velocities and scores of CLEVRER


def load(text: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON file that contains an object.

    Args:
      text: content of the file.
      what: its name, for messages.

    Raises:
      ValueError: if it is not a JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{what} cannot be read as JSON ({reason})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what} contains a {type(value).__name__}, expected a JSON object")
    return value


def field(item: Any, key: str, kind: type, where: str) -> Any:
    """Return the value of a key of an object, which must be of type `kind`.

    Raises:
      ValueError: if `item` is not an object, lacks the key, or the value has another type.
    """
    if not isinstance(item, dict):
        raise ValueError(f"{where} is a {type(item).__name__}, expected a JSON object")
    if key not in item:
        raise ValueError(f"{where} has no key {key!r}")
    value = item[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: {key} is {_short(value)}, expected a JSON {_NAMES[kind]}")
    return value


def vector(item: Any, key: str, where: str) -> list[float]:
    """Return three numbers; raises ValueError if they are not finite, or exceed `LIMIT`."""
    value = field(item, key, list, where)
    if len(value) != 3 or not all(map(is_number, value)):
        raise ValueError(f"{where}: {key} is {_short(value)}, expected three finite numbers")
    return value


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number within `LIMIT`; NaN is not."""
    return type(value) in (int, float) and abs(value) < LIMIT


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) else json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}..."


_NAMES = {dict: "object", list: "array", str: "string", int: "integer", float: "number"}
