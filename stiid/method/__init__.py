"""The paper in reading order: latents, likelihood, elbo, refinement, inference, objective."""
