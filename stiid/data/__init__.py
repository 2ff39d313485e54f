"""Data sources and input pipelines: NumPy, tfds and grain only."""
