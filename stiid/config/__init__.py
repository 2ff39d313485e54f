"""The typed form of a config file."""
