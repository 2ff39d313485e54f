"""SAVi, Slot Attention for Video (Kipf et al., ICLR 2022), a baseline."""
