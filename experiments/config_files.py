"""Config files as the experiments change them."""

from ml_collections import ConfigDict

from stiid.config.resolve import load_experiment
from stiid.typed_config import to_dict


def load_config(name: str) -> ConfigDict:
    """All fields of the config that ``--config=NAME`` means."""
    return ConfigDict(to_dict(load_experiment(name), sequence=tuple))
