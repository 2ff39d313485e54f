"""The flag ``--config``: a config file, and ``--config.section.field=value`` for any field."""

from absl import flags
from ml_collections import ConfigDict, config_flags

from stiid.config.resolve import load_complete

flags.disclaim_key_flags()  # they belong to the program that defines them


class _ConfigParser(flags.ArgumentParser):
    """Parses the name of a config file; fields that the file leaves out can be overridden too."""

    name: str | None = None  # as the user gave it

    def parse(self, argument: str) -> ConfigDict:
        self.name = argument
        return ConfigDict(load_complete(argument)).lock()

    def flag_type(self) -> str:
        return "config file"


def define_config(help_text: str) -> "flags.FlagHolder[ConfigDict | None]":
    """Define the flag; its value is the config with all fields, or None."""
    holder = config_flags.DEFINE_config_file("config", None, help_text)
    flags.FLAGS["config"].parser = _PARSER
    return holder


def config_name() -> str | None:
    """The config file that was given, with its variant."""
    return _PARSER.name


_PARSER = _ConfigParser()
