"""Scores of decompositions and predictions."""
