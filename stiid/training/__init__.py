"""The training loop, checkpoints and logs."""
