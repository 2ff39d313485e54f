"""DDPAE, a baseline."""
