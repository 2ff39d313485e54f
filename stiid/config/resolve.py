"""Resolved configs, with all fields that config files leave out."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from stiid.config.experiment import Evaluate, Experiment
from stiid.config.files import load
from stiid.typed_config import complete, parse, to_dict


def load_experiment(name: str) -> Experiment:
    """Load the experiment of a config file; raises as ``config.files.load`` and ``parse``."""
    return cast(Experiment, parse(Experiment, load(name)))


def load_complete(name: str) -> dict[str, Any]:
    """Load a config file with all fields, which can be changed before they are parsed."""
    return complete(Experiment, load(name))


def resolved(experiment: Experiment) -> str:
    """All fields of an experiment, one per line, followed by the default if that differs."""
    content = to_dict(experiment, sequence=tuple)
    kinds = {"data": {"name": experiment.data.name}, "model": {"family": experiment.model.family}}
    one_length = {"evaluate": {"lengths": Evaluate().lengths[:1]}}  # DDPAE takes no more
    defaults = dict(_leaves(to_dict(parse(Experiment, kinds | one_length), sequence=tuple)))
    defaults["evaluate.lengths"] = Evaluate().lengths
    lines = []
    for name, value in _leaves(content):
        default = defaults.get(name, value)
        lines.append(f"{name} = {value!r}" + (f"  # {default!r}" if default != value else ""))
    return "\n".join(lines)


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of nested mappings by their dotted names; an empty mapping is a field itself."""
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
