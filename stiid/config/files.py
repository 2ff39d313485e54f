"""Config files: Python files whose ``get_config([variant])`` returns what differs from defaults.

A config file is named by its path, ``mine.py`` or ``configs/clevrer.py:small``, or, if it comes
with the package, by its stem, ``clevrer:small``. The variant follows the colon.
"""

import contextlib
import difflib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stiid.errors import first_line

CONFIGS = Path(__file__).parents[2] / "configs"
# The field of a section that selects its kind.
_KINDS = {"data": "name", "model": "family"}


def load(name: str) -> dict[str, Any]:
    """Load the fields that a config file sets, as nested mappings.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file does not run, has no ``get_config``, or ``get_config`` returns no
        mapping.
    """
    path, _, variant = name.partition(":")
    file = find(path)
    with _as_value_error(file), _configs_importable(file):
        module = load_module(file)
        if not hasattr(module, "get_config"):
            raise ValueError(f"{path} has no function get_config: add one, see configs/README.md")
        if variant and not inspect.signature(module.get_config).parameters:
            raise ValueError(f"{path} has no variants: leave out :{variant}")
        config = module.get_config(*[variant] if variant else [])
    content = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: get_config must return a dict, got {content!r}")
    return extend({}, **content)


def find(path: str) -> Path:
    """Find a config file by its path, or by the stem of a file that comes with the package."""
    for file in (Path(path), CONFIGS / f"{path}.py"):
        if file.is_file():
            return file
    names = sorted(file.stem for file in CONFIGS.glob("*.py"))
    close = difflib.get_close_matches(Path(path).stem, names, n=1)
    raise FileNotFoundError(
        f"no config file {path}: name a file, or one of {', '.join(names)}"
        + "".join(f": did you mean {name}?" for name in close)
    )


def small_variants(name: str) -> list[str]:
    """The variants of a config file that train on two CPU cores within hours, if it has any.

    Args:
      name: as of ``load``.
    """
    path = name.partition(":")[0]
    file = find(path)
    with _configs_importable(file):
        variants = getattr(load_module(file), "VARIANTS", ())
    return [
        f"{path}:{variant}"
        for variant in variants
        if variant.startswith(("small", "quick", "fast"))
        and not variant[-1].isdigit()  # tests only
    ]


def run_folder(name: str) -> Path:
    """Default folder of the runs of a config file: runs/NAME-VARIANT."""
    path, _, variant = name.partition(":")
    return Path("runs", f"{Path(path).stem}{'-' if variant else ''}{variant}")


def load_module(file: Path) -> ModuleType:
    """Import a config file as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is not a config file: expected Python source, FILE.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def extend(base: str | Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """Copy a config and change some of its fields.

    Sections are merged field by field; lists and tuples are replaced. If a section changes its
    kind, ``data.name`` or ``model.family``, it keeps nothing of the base. ``train.stages`` may be a
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
    """Merge nested mappings into a new one; where both have a value, ``after`` has precedence."""
    if not isinstance(after, Mapping):
        return after
    if not isinstance(before, Mapping):
        before = {}
    both = {**before, **after}
    return {key: _merged(before.get(key), after.get(key, before.get(key))) for key in both}


@contextlib.contextmanager
def _as_value_error(file: Path) -> Iterator[None]:
    """A config file is code, and may raise anything: an error of one line that names the file."""
    try:
        yield
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise ValueError(
            f"config file {file} does not run: {type(error).__name__}: {first_line(error)}"
        ) from error


@contextlib.contextmanager
def _configs_importable(file: Path) -> Iterator[None]:
    """Let a config file import the package's configs, in whatever folder it lies."""
    root = str(CONFIGS.parent)
    sys.path.insert(0, root)
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != CONFIGS.name:
            raise
        raise ValueError(
            f"{file} imports configs of this package, but there is no {CONFIGS}: install the "
            "package from a checkout, pip install -e CHECKOUT"
        ) from None
    finally:
        sys.path.remove(root)
