"""Typed configs: conversion between nested mappings and frozen dataclasses.

The fields of a section are the keyword arguments of one class. A field that is left out has the
default of its class. A missing field without a default, or an unknown field, is an error that names
it. Configs are plain nested mappings here (``main`` converts a ``ConfigDict``), so that the same
parser reads the copy that is stored in a checkpoint.

A field may be a union of classes with a ``Literal`` field: ``family: Literal["stiid"]`` selects the
class of a section; without that field it is the first.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Set
from typing import Any, get_type_hints

_LARGEST = 3.4e38  # of float32


def parse(cls: type, section: Any, where: str = "config") -> Any:
    """Build a (nested) dataclass from a mapping.

    Raises:
      ValueError: a field without a default is missing, or one is unknown or of the wrong type; the
        message names it.
    """
    fields = arguments(get_type_hints(cls), section, where, optional=_defaults(cls).keys())
    try:
        parsed = cls(**fields)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    for name, value in fields.items():
        _check_finite(value, f"{where}.{name}")
    return parsed


def arguments(
    hints: Mapping[str, Any], section: Any, where: str, *, optional: Set[str] = frozenset()
) -> dict[str, Any]:
    """Check and convert the fields of a section, each to its type.

    Args:
      hints: types of all possible fields.
      section: the fields as written.
      where: name of the section, for messages.
      optional: fields that may be left out.

    Raises:
      ValueError: as ``parse``.
    """
    if not isinstance(section, Mapping):
        raise ValueError(f"{where}: expected a section, got {section!r}")
    missing = sorted(hints.keys() - optional - section.keys())
    unknown = sorted(section.keys() - hints.keys())
    if missing:
        raise ValueError(f"{where}: missing field(s) {', '.join(missing)}")
    if unknown:
        raise ValueError(
            f"{where}: unknown field(s) {', '.join(unknown)}; known: {', '.join(sorted(hints))}"
        )
    return {
        name: _value(hints[name], section[name], f"{where}.{name}")
        for name in hints
        if name in section
    }


def override(base: Any, changes: Mapping[str, Any], where: str) -> Any:
    """Copy a dataclass and replace some fields, checked as in ``parse``.

    If a field is a section (a nested dataclass or a mapping), a mapping changes only the fields in
    that mapping.
    """
    fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    nested: dict[str, Any] = {}
    for name, change in changes.items():
        section = fields.get(name)
        if dataclasses.is_dataclass(section) and isinstance(change, Mapping):
            nested[name] = override(section, change, f"{where}.{name}")
        elif isinstance(section, Mapping) and isinstance(change, Mapping):
            nested[name] = {**section, **change}
    return parse(type(base), {**fields, **changes, **nested}, where)


def complete(cls: type, section: Any, where: str = "config") -> dict[str, Any]:
    """Complete a section with the defaults of missing fields, as plain dicts and tuples.

    Unlike ``to_dict(parse(…))``, this does not create the dataclass: fields that the dataclass
    would derive from others keep the values that were written.

    Raises:
      ValueError: as ``parse``.
    """
    given = arguments(get_type_hints(cls), section, where, optional=_defaults(cls).keys())
    fields = {**_defaults(cls), **given}
    return {name: to_dict(value, sequence=tuple) for name, value in fields.items()}


def to_dict(value: Any, *, sequence: type = list) -> Any:
    """Convert a dataclass to nested dicts; its sequences to lists, as JSON has them, or tuples."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name: to_dict(getattr(value, f.name), sequence=sequence) for f in fields}
    if isinstance(value, Mapping):
        return {key: to_dict(item, sequence=sequence) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return sequence(to_dict(item, sequence=sequence) for item in value)
    return value


def _defaults(cls: type) -> dict[str, Any]:
    """The defaults of a dataclass's fields that have one."""
    missing = dataclasses.MISSING
    return {
        f.name: f.default if f.default_factory is missing else f.default_factory()
        for f in dataclasses.fields(cls)
        if f.default is not missing or f.default_factory is not missing
    }


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check a value against a type hint, and turn JSON's lists into tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        cls = typing.cast(type, hint)
        return value if isinstance(value, cls) else parse(cls, value, where)
    if origin is types.UnionType:
        return _member(arguments, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{where}: expected one of {arguments}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not ... and len(value) != len(arguments):
            raise ValueError(f"{where}: expected {len(arguments)} values, got {value!r}")
        return tuple(_value(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _value(arguments[1], value[key], f"{where}.{key}") for key in sorted(value)}
    if hint is Any:
        return tuple(value) if isinstance(value, list) else value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        not isinstance(hint, type)
        or not isinstance(value, hint)
        or (isinstance(value, bool) and hint is not bool)
    ):
        raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def _check_finite(value: Any, where: str) -> None:
    """Refuse NaN, infinity, and what float32 rounds to it, if a class does not check itself."""
    if isinstance(value, tuple | list):
        for i, item in enumerate(value):
            _check_finite(item, f"{where}[{i}]")
    elif isinstance(value, Mapping):  # a section that is parsed later
        for name, item in value.items():
            _check_finite(item, f"{where}.{name}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {value!r}")
    elif isinstance(value, float) and abs(value) > _LARGEST:
        raise ValueError(f"{where}: expected a number within ±{_LARGEST:.1e}, got {value!r}")


def _member(members: tuple[Any, ...], value: Any, where: str) -> Any:
    """Parse a value of a union: an optional type, or classes distinguished by a literal field."""
    if type(None) in members:
        return None if value is None else _value(members[0], value, where)
    if isinstance(value, members):
        return value
    tags = {tag: cls for cls in members for tag in typing.get_args(get_type_hints(cls)["family"])}
    tag = value.get("family", next(iter(tags))) if isinstance(value, Mapping) else None
    if not isinstance(tag, str) or tag not in tags:
        raise ValueError(f"{where}.family: expected one of {tuple(tags)}, got {tag!r}")
    return parse(tags[tag], value, where)
