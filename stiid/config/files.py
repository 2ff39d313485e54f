"""Config files: Python files whose ``get_config([variant])`` returns what differs from defaults.

A config file is named by its path, ``mine.py`` or ``configs/clevrer.py:small``, or, if it comes
with the package, by its stem, ``clevrer:small``. What follows the colon is the variant.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

CONFIGS = Path(__file__).parents[2] / "configs"
# The field of a section that says what kind of section it is.
_KINDS = {"data": "name", "model": "family"}


def load(name: str) -> dict[str, Any]:
    """What a config file says: nested mappings of the fields that it sets.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file has no ``get_config``, or that returns no mapping.
    """
    path, _, variant = name.partition(":")
    file = find(path)
    with _configs_importable(file):
        module = load_module(file)
        if not hasattr(module, "get_config"):
            raise ValueError(f"{path} has no function get_config: see configs/README.md")
        config = module.get_config(*[variant] if variant else [])
    content = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: get_config must return a dict, got {content!r}")
    return extend({}, **content)


def find(path: str) -> Path:
    """The file that a path, or the stem of one that comes with the package, means."""
    for file in (Path(path), CONFIGS / f"{path}.py"):
        if file.is_file():
            return file
    names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.py")))
    raise FileNotFoundError(f"no config file {path}: name a file, or one of {names}")


def load_module(file: Path) -> ModuleType:
    """A config file as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no config file: expected Python source, FILE.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def extend(base: str | Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """A config with some of its fields changed.

    Sections are merged field by field; a list or tuple is replaced. A section that changes its
    kind, ``data.name`` or ``model.family``, keeps nothing of the base. ``train.stages`` may be a
    list of stages, which are then named stage_0, stage_1, ….

    Args:
      base: a config, or the name of a config file.
      **sections: of ``config.experiment.Experiment``, with the fields that differ.
    """
    config = _merged({}, load(base) if isinstance(base, str) else base)
    for name, section in sections.items():
        kind, before = _KINDS.get(name, ""), config.get(name, {})
        if isinstance(section, Mapping) and section.get(kind) not in (None, before.get(kind)):
            before = {}
        config[name] = _merged(before, section)
    stages = config.get("train", {}).get("stages")
    if isinstance(stages, list | tuple):
        config["train"]["stages"] = {f"stage_{i}": stage for i, stage in enumerate(stages)}
    return config


def _merged(before: Any, after: Any) -> Any:
    """Nested mappings as one, in which what is after goes first; neither of them is changed."""
    if not isinstance(after, Mapping):
        return after
    if not isinstance(before, Mapping):
        before = {}
    both = {**before, **after}
    return {key: _merged(before.get(key), after.get(key, before.get(key))) for key in both}


@contextlib.contextmanager
def _configs_importable(file: Path) -> Iterator[None]:
    """Let a config file import those of the package, wherever it is read from."""
    root = str(CONFIGS.parent)
    sys.path.insert(0, root)
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != CONFIGS.name:
            raise
        raise ValueError(
            f"{file} builds on configs of this package, and there is no {CONFIGS}: install the "
            "package from a checkout, pip install -e CHECKOUT"
        ) from None
    finally:
        sys.path.remove(root)
