"""The trained parameters: those of the networks, and the initial posterior."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from stiid.method.networks import SlotModel
from stiid.method.starts import StartOptions
from stiid.nn.initial import uniform_weights
from stiid.shapes import Array, LSTMState, Params


@dataclass(frozen=True, kw_only=True)
class ParameterOptions(StartOptions):
    """Initialization of the parameters.

    Attributes:
      init_scale: the trained initial λ is sampled from U(−a, a).
      initial_weights: "lecun": truncated normal of variance 1/fan-in, biases zero or as the layer
        says; "uniform": weights and biases from U(−a, a), a = 1/√fan-in, in the LSTM 1/√M
        (PyTorch's default). The paper does not say.
      init_log_var: *not in the paper*: added to the log-variance half of the initial λ; −3 starts
        with little noise.
      seed_scale: *not in the paper*: initial scale of colors and places in the embedding of
        ``nn.seeds``, trained. A larger one tells paler objects apart, and divides uneven
        backgrounds.
    """

    init_scale: float = 0.5
    initial_weights: str = "lecun"
    # Not in the paper.
    init_log_var: float = 0.0
    seed_scale: float = 5.0

    def __post_init__(self) -> None:
        """Refuse an unknown distribution, and numbers that are not finite."""
        super().__post_init__()
        self._check_finite("init_scale", "init_log_var", "seed_scale")
        self._check_positive("seed_scale")
        self._check_choice("initial_weights", ("lecun", "uniform"))


def init_relational(model: SlotModel[ParameterOptions], key: Array) -> Params:
    """Initialize the relational prior: {motion, mover}; slots move on in a line at first."""
    keys = jax.random.split(key)
    z, place = jnp.zeros((1, 1, model.prior.latent_size)), jnp.zeros((1, 1, 2))
    places = jnp.zeros((1, model.motion.window, 1, 2))
    return {
        "motion": model.motion.init(keys[0], places, jnp.zeros((1, 1)))["params"],
        "mover": model.mover.init(keys[1], z, place, place)["params"],
    }


def init_params(model: SlotModel[ParameterOptions], key: Array) -> Params:
    """Initialize all parameters: {decoder, refiner, posterior[, prior, seeds, …]}."""
    options, decoder = model.inference, model.decoder
    keys = jax.random.split(key, 4)
    size = model.prior.latent_size
    z, h = jnp.zeros((1, 1, size)), jnp.zeros((1, 1, model.refiner.lstm_features))
    state = LSTMState(h, h)
    size_of_images = (decoder.height, decoder.width)
    frame = jnp.zeros((1, *size_of_images, decoder.channels))
    images = jnp.zeros((1, 1, *size_of_images, 2 * decoder.channels + 5))
    vectors = jnp.zeros((1, 1, 4 * size))
    time = state if options.time_axis == "lstm2d" else None
    noise = jax.random.uniform(keys[3], (2 * size,), minval=-1.0) * options.init_scale
    params = {
        "decoder": decoder.init(keys[0], z, h if options.generation else None)["params"],
        "refiner": model.refiner.init(keys[1], frame, images, vectors, state, time)["params"],
    }
    if options.conditional_prior:
        params["prior"] = model.prior.init(keys[2], h)["params"]
    if options.initial_weights == "uniform":
        params = uniform_weights(params, keys[0], model.refiner.lstm_features)
    if options.posterior_start == "seeds":
        seeds = model.seeds.clone(scale=options.seed_scale)
        params["seeds"] = seeds.init(jax.random.fold_in(keys[3], 1), frame, 1)["params"]
    if options.simulation_start == "relational":
        params["relational"] = init_relational(model, jax.random.fold_in(key, 1))
    params["posterior"] = noise.at[size:].add(options.init_log_var)
    if options.gradient_skip:
        params["gradient_skip"] = jnp.full((2 * size,), options.gradient_skip, jnp.float32)
    return params
