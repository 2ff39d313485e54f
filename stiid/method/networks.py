"""The model: its networks, every switch of its inference, its parameters."""

import math
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp

from stiid.method import likelihood
from stiid.method.schedule import GRIDS
from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.initial import uniform_weights
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.shapes import Array, Decoded, Gaussian, LSTMState, Params


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Every choice of the procedure that is not a network. The defaults are the paper's.

    Where the paper does not say, the field's text does, and the default is our reading.

    Attributes:
      refinements: R. Paper: 6 on Bouncing Balls, 5 on CLEVRER.
      grid: see ``method.schedule``.
      time_axis: "lstm2d": the paper's; "none": every frame starts anew (IODINE); "chain": one
        LSTM whose state and posterior go on from frame to frame (SEQ-IODINE).
      posterior_start: λ at t > 0: "posterior" of the last frame, or the conditional "prior"
        (without one N(0, I): nothing of the last frame). The paper does not say.
      conditional_prior: prior from the temporal hidden state (Eq. 5) or N(0, I) (the ablation).
      first_prior: prior at t = 0: "learned", ξ_θ(0), or "standard" normal. The paper does not say.
        Without a conditional prior it is N(0, I) in any case.
      generation: the decoder sees the temporal hidden state (Eq. 6) or z alone (the ablation).
      mixture: see ``method.likelihood.mixture_log_likelihood``.
      variance: σ² of the likelihood. The paper's "variance … σ = 0.3" reads as 0.09; the
        implementation that it builds on uses 0.3 as the variance.
      posterior_mask: see ``method.likelihood.posterior_masks``.
      log_var_range: bounds of the posterior's log σ² after each update, or None. What a frame
        starts from is not bounded.
      gradient_scale: factor on the gradients before their layer normalization, whose ε = 1e-5 does
        not let small ones forget it. 1: the loss is summed over the batch (ours); 1/N: the mean
        over N videos, as in the implementation that the paper builds on, where N is the batch of
        one device in *training*.
      gradient_clamp: bound on the three gradients, after that factor and before their layer
        normalization, or None. SEQ-IODINE on binary balls beyond the training length: 10.
      delta_clamp: bound on Δλ, or None. SEQ-IODINE as above: 10.
      gradient_skip: initial value of s in λ ← λ + f_φ(…) − s ⊙ LN(∇_λ L), s trained per
        dimension (ours: inference starts as normalized gradient descent and f_φ learns the
        correction). 0: none.
      init_scale: the trained initial λ is drawn from U(−a, a).
      init_log_var: added to the log-variance half of it; −3 starts quietly (ours).
      initial_weights: "lecun": truncated normal of variance 1/fan-in, biases zero or as the layer
        says (ours); "uniform": weights and biases from U(−a, a), a = 1/√fan-in, in the LSTM
        1/√M (PyTorch's default).
      last_decode: decode once more after the last refinement of a frame, which gives its result
        (R̂ + 1 evaluations); False: the decode in front of the last refinement gives it (R̂
        evaluations; SEQ-IODINE, where frame t is then scored as decoded from frames < t).
      simulation_start: λ of a simulated frame, "posterior" of the last frame or "prior" (which
        without a conditional prior simulates nothing that was seen). The paper does not say.
      unroll: refinements in a turn of a frame's loop; 0: all, no loop. With fewer, the paper's
        sizes compile in a fraction of the time; activations that are kept (without ``remat``) are
        copied once more.
      remat: recompute each cell in the backward pass instead of keeping its activations; what stays
        are λ, the LSTM's states and the inner gradients (C + 1 channels of an image per slot).
    """

    refinements: int = 6
    grid: str = "triangular"
    time_axis: str = "lstm2d"
    posterior_start: str = "posterior"
    conditional_prior: bool = True
    first_prior: str = "learned"
    generation: bool = True
    mixture: str = "pixel"
    variance: float = 0.3
    posterior_mask: str = "normalized"
    log_var_range: tuple[float, float] | None = None
    gradient_scale: float = 1.0
    gradient_clamp: float | None = None
    delta_clamp: float | None = None
    gradient_skip: float = 0.0
    init_scale: float = 0.5
    init_log_var: float = 0.0
    initial_weights: str = "lecun"
    last_decode: bool = True
    simulation_start: str = "posterior"
    unroll: int = 1
    remat: bool = True

    def __post_init__(self) -> None:
        """Refuse values that no code path means."""
        for name, allowed in {
            "grid": GRIDS,
            "time_axis": ("lstm2d", "none", "chain"),
            "posterior_start": ("posterior", "prior"),
            "simulation_start": ("posterior", "prior"),
            "first_prior": ("learned", "standard"),
            "mixture": likelihood.MIXTURES,
            "posterior_mask": likelihood.POSTERIOR_MASKS,
            "initial_weights": ("lecun", "uniform"),
        }.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"inference.{name}: expected one of {allowed}, got {getattr(self, name)!r}"
                )
        if self.refinements < 1:
            raise ValueError(f"inference.refinements must be at least 1, got {self.refinements}")
        if self.unroll < 0:
            raise ValueError(f"inference.unroll must not be negative, got {self.unroll}: 0 is all")
        for name in ("variance", "gradient_scale", "gradient_clamp", "delta_clamp"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"inference.{name} must be positive, got {value}")
        for name in ("gradient_skip", "init_scale", "init_log_var"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"inference.{name} must be finite, got {getattr(self, name)}")
        bounds = self.log_var_range
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"inference.log_var_range: expected (low, high), got {bounds}")
        if self.time_axis == "none" and self.grid != "full":
            raise ValueError(
                "inference: a model without memory treats frames alike: time_axis='none' needs "
                f"grid='full', got grid={self.grid!r}"
            )
        if self.time_axis != "lstm2d" and (self.conditional_prior or self.generation):
            raise ValueError(
                "inference: conditional_prior and generation need the temporal hidden state of "
                f"time_axis='lstm2d', got time_axis={self.time_axis!r}"
            )


@dataclass(frozen=True, kw_only=True)
class SlotModel:
    """The three Linen leaves and the procedure; parameters live in a dict beside it."""

    decoder: BroadcastDecoder
    refiner: Refiner
    prior: ConditionalPrior
    inference: Inference

    def decode(self, params: Params, z: Array, h: Array | None) -> Decoded:
        """g_θ(z_{t,r}, h_{t−1,R̂}), see ``nn.decoder``."""
        return cast(Decoded, self.decoder.apply({"params": params["decoder"]}, z, h))

    def predict_prior(self, params: Params, h: Array) -> Gaussian:
        """ξ_θ(h_{t−1,R̂}), see ``nn.prior``."""
        return cast(Gaussian, self.prior.apply({"params": params["prior"]}, h))

    def propose_update(
        self,
        params: Params,
        images: Array,
        vectors: Array,
        refinement: LSTMState,
        time: LSTMState | None,
    ) -> tuple[Gaussian, LSTMState]:
        """f_φ(a, h_{t,r−1}, h_{t−1,R̂}), see ``nn.refiner``."""
        variables = {"params": params["refiner"]}
        update = self.refiner.apply(variables, images, vectors, refinement, time)
        return cast(tuple[Gaussian, LSTMState], update)


def init_params(model: SlotModel, key: Array) -> Params:
    """Draw all parameters: {decoder, refiner, posterior[, prior][, gradient_skip]}."""
    settings, decoder = model.inference, model.decoder
    keys = jax.random.split(key, 4)
    size = model.prior.latent_size
    z, h = jnp.zeros((1, 1, size)), jnp.zeros((1, 1, model.refiner.lstm_features))
    state = LSTMState(h, h)
    images = jnp.zeros((1, 1, decoder.height, decoder.width, 3 * decoder.channels + 7))
    vectors = jnp.zeros((1, 1, 4 * size))
    time = state if settings.time_axis == "lstm2d" else None
    noise = jax.random.uniform(keys[3], (2 * size,), minval=-1.0) * settings.init_scale
    params = {
        "decoder": decoder.init(keys[0], z, h if settings.generation else None)["params"],
        "refiner": model.refiner.init(keys[1], images, vectors, state, time)["params"],
    }
    if settings.conditional_prior:
        params["prior"] = model.prior.init(keys[2], h)["params"]
    if settings.initial_weights == "uniform":
        params = uniform_weights(params, keys[0], model.refiner.lstm_features)
    params["posterior"] = noise.at[size:].add(settings.init_log_var)
    if settings.gradient_skip:
        params["gradient_skip"] = jnp.full((2 * size,), settings.gradient_skip, jnp.float32)
    return params
