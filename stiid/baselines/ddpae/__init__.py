"""DDPAE (Hsieh et al., NeurIPS 2018): video prediction by components with a pose and a content."""
