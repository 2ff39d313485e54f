"""The command line: flags, modes, and the commands on data."""
