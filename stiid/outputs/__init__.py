"""What results look like on disk: sheets, overlays, trajectories."""
