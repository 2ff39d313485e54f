"""The paper's model and its baselines behind one interface."""
