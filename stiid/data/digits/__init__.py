"""Bouncing Balls: simulated, or read from R-NEM's own files."""
