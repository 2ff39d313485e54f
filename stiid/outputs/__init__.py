"""Results as files: sheets, overlays, figures, trajectories."""
