"""What the inference of a frame starts from: λ_{t,1}, and the sample of its first evaluation."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from stiid.method import latents
from stiid.method.networks import SlotModel
from stiid.method.refinement import FrameStart, RefinementOptions
from stiid.nn.seeds import Taken
from stiid.shapes import Array, Gaussian, Params


@dataclass(frozen=True, kw_only=True)
class StartOptions(RefinementOptions):
    """The posterior at the start of a frame.

    Attributes:
      posterior_start: λ at t > 0: "posterior" of the last frame, the conditional "prior" (without
        one N(0, I): nothing of the last frame), or "learned", that of frame 0 again (*authors'
        code*). The paper does not say. *Not in the paper*: "seeds": what the slot takes of the
        frame's own pixels, at t = 0 too, see ``nn.seeds``.
      first_sample: z of a frame's first evaluation: "posterior", sampled from λ like all others; or
        "clip", sampled once from the learned λ; the same in every frame, simulated ones too
        (*authors' code*: a slot's identity is its noise). ∇_λ L of that evaluation is then that of
        the KL divergence alone.
      simulation_start: λ of a simulated frame, "posterior" of the last frame, "prior" (which
        without a conditional prior simulates nothing that was seen), or "learned" (*authors'
        code*). The paper does not say. *Not in the paper*: "relational": simulated frames are not
        refined, see ``method.simulation``.
    """

    posterior_start: str = "posterior"
    first_sample: str = "posterior"
    simulation_start: str = "posterior"

    def __post_init__(self) -> None:
        """Refuse unknown starts, and those that need a memory that there is not."""
        super().__post_init__()
        self._check_choice("posterior_start", ("posterior", "prior", "learned", "seeds"))
        self._check_choice("first_sample", ("posterior", "clip"))
        self._check_choice("simulation_start", ("posterior", "prior", "learned", "relational"))
        if self.first_sample == "clip" and self.time_axis != "lstm2d":
            raise ValueError(
                "inference: first_sample='clip' needs time_axis='lstm2d', got "
                f"time_axis={self.time_axis!r}"
            )
        if self.posterior_start == "seeds" and self.time_axis == "none":
            raise ValueError(
                "inference: slots follow their seeds from frame to frame: posterior_start='seeds' "
                "needs another time_axis than 'none'"
            )


def learned(params: Params, slots: tuple[int, ...]) -> Gaussian:
    """The learned λ of all slots (B, K)."""
    vector = params["posterior"]
    return latents.from_vector(jnp.broadcast_to(vector, (*slots, vector.shape[-1])))


def choose(params: Params, kind: str, prior: Gaussian, last: Gaussian) -> Gaussian:
    """λ from which a frame starts, for ``posterior_start`` and ``simulation_start``."""
    if kind == "learned":
        return learned(params, last.mean.shape[:-1])
    return prior if kind == "prior" else last


def sow(
    model: SlotModel[StartOptions], params: Params, start: FrameStart, frame: Array | None
) -> FrameStart:
    """The start of frame 0, x [B, H, W, C], with the queries of its seeds if there are any."""
    if model.inference.posterior_start != "seeds":
        return start
    if frame is None:
        raise ValueError("inference.posterior_start='seeds' needs the image of frame 0")
    taken = model.take(params, frame, start.posterior.mean.shape[1])
    return start._replace(queries=taken.queries)


def take(
    model: SlotModel[StartOptions], params: Params, start: FrameStart, frame: Array
) -> tuple[FrameStart, Taken | None]:
    """A frame's start as it is; with seeds, λ from what the slots take of x [B, H, W, C]."""
    if start.queries is None:
        return start, None
    taken = model.take(params, frame, start.queries)
    begin = learned(params, start.posterior.mean.shape[:-1])
    posterior = jax.tree.map(jnp.add, begin, taken.delta)
    return start._replace(posterior=posterior, shares=taken.shares), taken
