"""Data sources and input pipelines, which use NumPy, tfds and grain only."""
