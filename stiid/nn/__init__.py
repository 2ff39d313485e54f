"""Flax modules without parts of their own: decoder, refinement network, 2D-LSTM cell, prior."""
