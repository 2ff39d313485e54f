"""The model: its three networks and the options of its inference."""

from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from stiid.method.options import Options
from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.nn.relational import Motion, Mover
from stiid.nn.seeds import Seeds, Taken
from stiid.shapes import Array, Decoded, Gaussian, LSTMState, Params

_Options_co = TypeVar("_Options_co", bound=Options, covariant=True)


@dataclass(frozen=True, kw_only=True)
class SlotModel(Generic[_Options_co]):
    """The three Linen leaves and the options; parameters live in a dict beside it.

    Each file of the method takes a model with the options that it needs, such as
    ``SlotModel[ElboOptions]``; ``inference.Inference`` has all of them.
    """

    decoder: BroadcastDecoder
    refiner: Refiner
    prior: ConditionalPrior
    inference: _Options_co

    @property
    def seeds(self) -> Seeds:
        """The network behind ``posterior_start="seeds"`` (not in the paper)."""
        return Seeds(self.prior.latent_size)

    @property
    def motion(self) -> Motion:
        """A network behind ``simulation_start="relational"`` (not in the paper)."""
        return Motion()

    @property
    def mover(self) -> Mover:
        """The other one."""
        return Mover(self.prior.latent_size)

    def decode(self, params: Params, z: Array, h: Array | None) -> Decoded:
        """g_θ(z_{t,r}, h_{t−1,R̂}), see ``nn.decoder``."""
        return cast(Decoded, self.decoder.apply({"params": params["decoder"]}, z, h))

    def predict_prior(self, params: Params, h: Array) -> Gaussian:
        """ξ_θ(h_{t−1,R̂}), see ``nn.prior``."""
        return cast(Gaussian, self.prior.apply({"params": params["prior"]}, h))

    def take(self, params: Params, frame: Array, queries: Array | int) -> Taken:
        """Divide a frame among the slots, see ``nn.seeds``."""
        return cast(Taken, self.seeds.apply({"params": params["seeds"]}, frame, queries))

    def predict_places(self, params: Params, places: Array, sizes: Array) -> Array:
        """Where slots will be, see ``nn.relational``."""
        variables = {"params": params["relational"]["motion"]}
        return cast(Array, self.motion.apply(variables, places, sizes))

    def move(self, params: Params, z: Array, here: Array, there: Array) -> Array:
        """Latents at other places, see ``nn.relational``."""
        variables = {"params": params["relational"]["mover"]}
        return cast(Array, self.mover.apply(variables, z, here, there))

    def propose_update(
        self,
        params: Params,
        frame: Array,
        images: Array,
        vectors: Array,
        refinement: LSTMState,
        time: LSTMState | None,
        shared: Array | None = None,
    ) -> tuple[Gaussian, LSTMState]:
        """f_φ(a, h_{t,r−1}, h_{t−1,R̂}), see ``nn.refiner``."""
        variables = {"params": params["refiner"]}
        update = self.refiner.apply(variables, frame, images, vectors, refinement, time, shared)
        return cast(tuple[Gaussian, LSTMState], update)
