"""Config files of experiments, with all fields."""

from ml_collections import ConfigDict

from stiid.config.resolve import load_experiment
from stiid.typed_config import to_dict


def load_config(name: str) -> ConfigDict:
    """Load the config that ``--config=NAME`` names, with all fields."""
    return ConfigDict(to_dict(load_experiment(name), sequence=tuple))
