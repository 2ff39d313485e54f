"""MOVi-A to MOVi-E of Kubric, read from TFRecord files without TensorFlow."""
