"""CLEVRER from the official archives, with true masks by ray casting."""
