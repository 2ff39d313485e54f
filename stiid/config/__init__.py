"""The typed form of a config file, and what config files are written with."""

from stiid.config.files import extend

__all__ = ["extend"]
