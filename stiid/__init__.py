"""Unsupervised video decomposition by spatio-temporal iterative inference."""

__version__ = "0.1.0"
