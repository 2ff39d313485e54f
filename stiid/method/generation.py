"""The generative model of a frame: its prior (Eq. 5) and its decoder (Eq. 6)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from stiid.method import latents, likelihood
from stiid.method.networks import SlotModel
from stiid.method.options import Options
from stiid.shapes import Array, Decoded, Gaussian, Params

APPEARANCES = ("free", "mean")


@dataclass(frozen=True, kw_only=True)
class GenerationOptions(Options):
    """Conditioning on the temporal hidden state h.

    Attributes:
      conditional_prior: prior from h (Eq. 5) or N(0, I) (the ablation of Table 3).
      generation: the decoder sees h (Eq. 6) or z alone (the ablation of Table 3).
      first_prior: prior of frame 0: "learned", ξ_θ(0) (*authors' code*), or "standard" normal. The
        paper does not say. Without a conditional prior it is N(0, I) in any case.
      appearance: *not in the paper*: "free": each pixel of a slot has its own color (the paper's);
        "mean": all pixels of a slot have one, see ``mean_appearance``: no slot can then show an
        object and the background at once.
      residual_prior: *not in the paper*: ξ_θ gives the change of z since the last posterior's mean
        instead of z itself, so that an untrained prior already says that little changes.
    """

    conditional_prior: bool = True
    generation: bool = True
    first_prior: str = "learned"
    # Not in the paper.
    appearance: str = "free"
    residual_prior: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown first prior or appearance."""
        super().__post_init__()
        self._check_choice("appearance", APPEARANCES)
        self._check_choice("first_prior", ("learned", "standard"))
        if self.residual_prior and not self.conditional_prior:
            raise ValueError("inference.residual_prior needs conditional_prior=True, got False")


def frame_prior(
    model: SlotModel[GenerationOptions], params: Params, h: Array, last: Gaussian | None
) -> Gaussian:
    """p(z_t | x_<t, z_<t) = N(μ_t, diag σ_t²) with [μ_t, σ_t] = ξ_θ(h_{t−1,R̂}) (Eq. 5).

    Args:
      model: networks and options.
      params: from ``parameters.init_params``.
      h: h_{t−1,R̂} [B, K, M].
      last: λ_{t−1,R̂+1}, or None for the prior of frame 0.
    """
    options = model.inference
    standard = last is None and options.first_prior == "standard"
    if standard or not options.conditional_prior:
        return latents.standard_normal((*h.shape[:-1], model.prior.latent_size))
    prior = model.predict_prior(params, h)
    if options.residual_prior and last is not None:
        return prior._replace(mean=last.mean + prior.mean)
    return prior


def decode(model: SlotModel[GenerationOptions], params: Params, z: Array, h: Array) -> Decoded:
    """[m_t, μ_t] = g_θ(z_{t,r}, h_{t−1,R̂}) (Eq. 6), the masks as logits.

    Args:
      model: networks and options.
      params: from ``parameters.init_params``.
      z: z_{t,r} [B, K, D].
      h: h_{t−1,R̂} [B, K, M].
    """
    decoded = model.decode(params, z, h if model.inference.generation else None)
    if model.inference.appearance == "mean":
        decoded = decoded._replace(means=mean_appearance(decoded.means, decoded.logits))
    return decoded


def mean_appearance(means: Array, logits: Array) -> Array:
    """Each slot in one color, its mean weighted by its own mask: Σ_i m_i μ_i / Σ_i m_i.

    Args:
      means: μ [B, K, H, W, C].
      logits: of the masks [B, K, H, W, 1].

    Returns:
      [B, K, H, W, C], constant over H and W. A slot whose mask vanishes everywhere keeps the color
      of the pixel where it vanishes least.
    """
    log_masks = likelihood.log_slot_masks(logits)
    shares = jax.nn.softmax(log_masks.reshape(*means.shape[:2], -1, 1), axis=2)
    pixels = means.reshape(*means.shape[:2], -1, means.shape[-1])
    color = (shares * pixels).sum(axis=2)
    return jnp.broadcast_to(color[:, :, None, None], means.shape)
