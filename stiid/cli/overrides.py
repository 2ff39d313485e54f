"""Change fields of a stored config by ``--config.section.field=value``."""

import ast
import copy
from collections.abc import Mapping, Sequence
from typing import Any

from stiid.config.experiment import Experiment
from stiid.typed_config import parse, to_dict

PREFIX = "--config."


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the arguments that change no field from those that do."""
    fields = [text for text in arguments if text.startswith(PREFIX)]
    return [text for text in arguments if not text.startswith(PREFIX)], fields


def changed(experiment: Experiment, fields: Sequence[str]) -> Experiment:
    """Replace some fields of an experiment; see ``replaced``."""
    found: Experiment = parse(Experiment, replaced(to_dict(experiment), fields))
    return found


def replaced(content: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Replace some fields of a config.

    Args:
      content: all fields, as nested mappings.
      fields: "--config.section.field=value" each.

    Raises:
      ValueError: there is no such field; the message names it.
    """
    result = copy.deepcopy(dict(content))
    for text in fields:
        name, equals, value = text.removeprefix(PREFIX).partition("=")
        if not equals:
            raise ValueError(f"expected {PREFIX}section.field=value, got {text!r}")
        *sections, leaf = name.split(".")
        section: Any = result
        for part in sections:
            section = _field(section, part, name)
        section[leaf] = _value(value, _field(section, leaf, name))
    return result


def _field(section: Any, name: str, whole: str) -> Any:
    if not isinstance(section, Mapping) or name not in section:
        known = f": expected one of {', '.join(section)}" if isinstance(section, Mapping) else ""
        raise ValueError(f"{PREFIX}{whole}: there is no field {name!r}{known}")
    return section[name]


def _value(text: str, before: Any) -> Any:
    """Parse a value; text stays text if the old value is text, as 1 for a name."""
    if isinstance(before, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # text; parsing the config checks whether it fits
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)
    is_list = isinstance(before, list | tuple)  # a list of one value needs no comma
    return (value,) if is_list and not isinstance(value, list | tuple) else value
