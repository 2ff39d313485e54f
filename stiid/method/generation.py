"""The generative model of a frame: its prior (Eq. 5) and its decoder (Eq. 6)."""

from dataclasses import dataclass

from stiid.method import latents
from stiid.method.networks import SlotModel
from stiid.method.options import Options
from stiid.shapes import Array, Decoded, Gaussian, Params


@dataclass(frozen=True, kw_only=True)
class GenerationOptions(Options):
    """Conditioning on the temporal hidden state h.

    Attributes:
      conditional_prior: prior from h (Eq. 5) or N(0, I) (the ablation of Table 3).
      generation: the decoder sees h (Eq. 6) or z alone (the ablation of Table 3).
      first_prior: prior of frame 0: "learned", ξ_θ(0) (*authors' code*), or "standard" normal. The
        paper does not say. Without a conditional prior it is N(0, I) in any case.
    """

    conditional_prior: bool = True
    generation: bool = True
    first_prior: str = "learned"

    def __post_init__(self) -> None:
        """Refuse an unknown first prior."""
        super().__post_init__()
        self._check_choice("first_prior", ("learned", "standard"))


def frame_prior(
    model: SlotModel[GenerationOptions], params: Params, h: Array, *, first: bool = False
) -> Gaussian:
    """p(z_t | x_<t, z_<t) = N(μ_t, diag σ_t²) with [μ_t, σ_t] = ξ_θ(h_{t−1,R̂}) (Eq. 5).

    Args:
      model: networks and options.
      params: from ``parameters.init_params``.
      h: h_{t−1,R̂} [B, K, M].
      first: the prior is that of frame 0.
    """
    options = model.inference
    if options.conditional_prior and not (first and options.first_prior == "standard"):
        return model.predict_prior(params, h)
    return latents.standard_normal((*h.shape[:-1], model.prior.latent_size))


def decode(model: SlotModel[GenerationOptions], params: Params, z: Array, h: Array) -> Decoded:
    """[m_t, μ_t] = g_θ(z_{t,r}, h_{t−1,R̂}) (Eq. 6), the masks as logits.

    Args:
      model: networks and options.
      params: from ``parameters.init_params``.
      z: z_{t,r} [B, K, D].
      h: h_{t−1,R̂} [B, K, M].
    """
    return model.decode(params, z, h if model.inference.generation else None)
