"""The paper's model as a section of a config: sizes, networks, inference, objective."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stiid.kernels.precision import PRECISIONS
from stiid.method.inference import Inference
from stiid.method.networks import SlotModel
from stiid.method.objective import Objective
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.nn.decoder import BroadcastDecoder
from stiid.nn.prior import ConditionalPrior
from stiid.nn.refiner import Refiner
from stiid.typed_config import arguments

_LEAVES = {"decoder": BroadcastDecoder, "refiner": Refiner, "prior": ConditionalPrior}
# Fields of leaves that come from the data, from the section itself, or from Linen.
_FROM_ELSEWHERE = ("height", "width", "channels", "latent_size", "precision", "parent", "name")


@dataclass(frozen=True, kw_only=True)
class SpatioTemporalConfig:
    """Networks, inference and objective. The defaults are the paper's on Bouncing Balls.

    Attributes:
      family: "stiid".
      latent_size: D.
      num_slots: K in training.
      precision: of image-sized arrays in the decoder and the convolutions of the refiner:
        "float32", or "bfloat16" for GPUs and TPUs (not measured: neither was available).
        Parameters, LSTM, likelihood and KL are always float32. GPUs with TensorFloat-32 round the
        operands of float32 products to 11 bits of significand, unless
        JAX_DEFAULT_MATMUL_PRECISION=highest is set.
      decoder: fields of ``nn.decoder.BroadcastDecoder`` (its image size comes from the data).
      refiner: fields of ``nn.refiner.Refiner``.
      prior: fields of ``nn.prior.ConditionalPrior``.
      inference: see ``method.inference.Inference`` and its base classes.
      objective: see ``method.objective.Objective``; its β and ψ also weigh the gradients
        that inference uses.
    """

    family: Literal["stiid"] = "stiid"
    latent_size: int = 64
    num_slots: int = 5
    precision: str = "float32"
    decoder: Mapping[str, Any] = field(default_factory=dict)
    refiner: Mapping[str, Any] = field(default_factory=dict)
    prior: Mapping[str, Any] = field(default_factory=dict)
    inference: Inference = field(default_factory=Inference)
    objective: Objective = field(default_factory=Objective)

    def __post_init__(self) -> None:
        """Complete the leaves; refuse sizes below 1, and unknown or ill-typed fields."""
        for name in ("latent_size", "num_slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        for name in _LEAVES:
            object.__setattr__(self, name, _leaf_fields(name, getattr(self, name)))
        if self.objective.num_simulated and self.inference.time_axis == "none":
            raise ValueError(
                "objective.num_simulated must be 0 without memory (inference.time_axis='none'), "
                f"got {self.objective.num_simulated}"
            )

    def build(self, image_shape: tuple[int, int, int]) -> SpatioTemporal:
        """See ``models.base.ModelConfig``."""
        height, width, channels = image_shape
        image: dict[str, Any] = {"height": height, "width": width, "channels": channels}
        latent: dict[str, Any] = {"latent_size": self.latent_size}
        precision: dict[str, Any] = {"precision": self.precision}
        model = SlotModel(
            decoder=BroadcastDecoder(**image, **precision, **self.decoder),
            refiner=Refiner(**latent, **precision, **self.refiner),
            prior=ConditionalPrior(**latent, **self.prior),
            inference=self.inference,
        )
        return SpatioTemporal(model, self.objective, self.num_slots)


def _leaf_fields(name: str, section: Any) -> dict[str, Any]:
    """All fields of a Linen module, with defaults, checked against its annotations."""
    own = [f for f in dataclasses.fields(_LEAVES[name]) if f.name not in _FROM_ELSEWHERE]
    given = arguments({f.name: f.type for f in own}, section, name, optional={f.name for f in own})
    fields = {f.name: given.get(f.name, f.default) for f in own}
    for f in own:
        least = 0 if (name, f.name) == ("refiner", "layers") else 1
        if f.type is int and fields[f.name] < least:
            raise ValueError(f"{name}.{f.name} must be at least {least}, got {fields[f.name]}")
    return fields
