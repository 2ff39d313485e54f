"""Eight CPU devices, strict rank promotion, and a model small enough to compile in seconds."""

import dataclasses

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

from stiid.model import Inference, Model  # noqa: E402
from stiid.nn.decoder import BroadcastDecoder  # noqa: E402
from stiid.nn.prior import ConditionalPrior  # noqa: E402
from stiid.nn.refiner import Refiner  # noqa: E402

INFERENCE = Inference(
    refinements=2,
    grid="triangular",
    time_axis="lstm2d",
    posterior_start="posterior",
    conditional_prior=True,
    first_prior="learned",
    generation=True,
    mixture="pixel",
    variance=0.3,
    posterior_mask="normalized",
    log_var_range=None,
    gradient_skip=None,
    init_scale=0.5,
    init_log_var=0.0,
    simulation_start="prior",
    remat=False,
)


@pytest.fixture
def make_model():
    """Build a tiny model (8×8 pixels, D = 4, M = 6) with some inference switches changed."""

    def make(*, channels: int = 3, kernel_size: int = 3, **switches: object) -> Model:
        return Model(
            decoder=BroadcastDecoder(
                height=8,
                width=8,
                channels=channels,
                features=6,
                layers=2,
                kernel_size=kernel_size,
                frequencies=(),
                mlp_features=5,
                residual=False,
            ),
            refiner=Refiner(
                latent_size=4,
                features=5,
                layers=2,
                stride=2,
                pool="none",
                hidden=7,
                lstm_features=6,
                forget_scale=1.0,
                forget_bias=1.0,
                output_scale=1.0,
            ),
            prior=ConditionalPrior(latent_size=4, features=5),
            inference=dataclasses.replace(INFERENCE, **switches),
        )

    return make
