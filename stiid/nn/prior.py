"""The conditional prior ξ_θ (Eq. 5)."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.elu import elu
from stiid.shapes import Array, Gaussian


class ConditionalPrior(nn.Module):
    """A small MLP from the temporal hidden state to the prior of the next frame's latents.

    Attributes:
      latent_size: D.
      features: width of its hidden layer.
    """

    latent_size: int
    features: int = 128

    @nn.compact
    def __call__(self, h: Array) -> Gaussian:
        """[B, K, M] → p(z_t | x_<t, z_<t). The network predicts log σ (the paper's footnote 3)."""
        x = elu(nn.Dense(self.features, name="hidden")(h))
        mean, log_std = jnp.split(nn.Dense(2 * self.latent_size, name="out")(x), 2, axis=-1)
        return Gaussian(mean, 2.0 * log_std)
