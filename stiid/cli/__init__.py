"""The command line: flags, modes, and data commands."""
