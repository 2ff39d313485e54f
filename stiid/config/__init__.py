"""The typed form of a config file, and the function ``extend``, with which config files begin."""

from stiid.config.files import extend

__all__ = ["extend"]
