"""Linen leaves: decoder, refinement network, 2D-LSTM cell, prior."""
