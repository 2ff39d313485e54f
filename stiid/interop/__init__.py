"""Readers of weights that other implementations saved."""
