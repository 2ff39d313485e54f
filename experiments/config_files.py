"""Config files: what ``--config=FILE.py:VARIANT`` means."""

import importlib.util
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict


def load_config(name: str) -> ConfigDict:
    """The config that ``--config=NAME`` means."""
    path, _, variant = name.partition(":")
    return load_module(path).get_config(*[variant] if variant else [])


def load_module(path: str | Path) -> ModuleType:
    """A config file as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no config file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
