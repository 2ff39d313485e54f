"""The conditional prior ξ_θ (Eq. 5)."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.elu import elu
from stiid.shapes import Array, Gaussian

FORMS = ("log_std", "softplus")


class ConditionalPrior(nn.Module):
    """A small MLP from the temporal hidden state to the prior of the next frame's latents.

    Attributes:
      latent_size: D.
      features: width of its hidden layer.
      form: "log_std": ELU, and the network predicts log σ (the paper's footnote 3); "softplus":
        ReLU, and log σ² is a softplus, so that the variance is at least 1 (*authors' code*).
    """

    latent_size: int
    features: int = 128
    form: str = "log_std"

    def __post_init__(self) -> None:
        """Refuse an unknown form when the module is created, before it is traced."""
        if self.form not in FORMS:
            raise ValueError(f"prior.form: expected one of {FORMS}, got {self.form!r}")
        super().__post_init__()

    @nn.compact
    def __call__(self, h: Array) -> Gaussian:
        """Predict p(z_t | x_<t, z_<t) from h [B, K, M]."""
        x = nn.Dense(self.features, name="hidden")(h)
        x = nn.relu(x) if self.form == "softplus" else elu(x)
        mean, scale = jnp.split(nn.Dense(2 * self.latent_size, name="out")(x), 2, axis=-1)
        return Gaussian(mean, nn.softplus(scale) if self.form == "softplus" else 2.0 * scale)
