"""Faults that a user's machine makes, tried again and again: see ``__main__``."""
