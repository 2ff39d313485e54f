"""Linen leaves (decoder, refiner, prior) and the fast paths that they need."""
