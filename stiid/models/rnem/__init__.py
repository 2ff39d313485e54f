"""Relational Neural Expectation Maximization, a baseline."""
