"""What a config says of the paper's model: sizes, networks, inference, objective."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stiid.kernels.precision import PRECISIONS
from stiid.method.networks import Inference, SlotModel
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
    """Networks, inference and objective.

    Attributes:
      family: "stiid".
      latent_size: D. Paper: 64.
      num_slots: K in training.
      precision: of what is image-sized in the decoder and the convolutions of the refiner:
        "float32", or "bfloat16" for GPUs and TPUs (neither was at hand: not measured), with
        parameters, LSTM, likelihood and KL in float32 all the same.
      decoder: fields of ``nn.decoder.BroadcastDecoder`` (its image size comes from the data).
      refiner: fields of ``nn.refiner.Refiner``.
      prior: fields of ``nn.prior.ConditionalPrior``.
      inference: see ``method.networks.Inference``.
      objective: see ``method.objective.Objective``; its β and ψ also weigh the gradients
        that inference uses.
    """

    family: Literal["stiid"]
    latent_size: int
    num_slots: int
    precision: str
    decoder: Mapping[str, Any]
    refiner: Mapping[str, Any]
    prior: Mapping[str, Any]
    inference: Inference
    objective: Objective

    def __post_init__(self) -> None:
        """Refuse sizes of nothing, and leaves with unknown or ill-typed fields."""
        for name in ("latent_size", "num_slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        for name in _LEAVES:
            self._leaf_fields(name)
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
            decoder=BroadcastDecoder(**image, **precision, **self._leaf_fields("decoder")),
            refiner=Refiner(**latent, **precision, **self._leaf_fields("refiner")),
            prior=ConditionalPrior(**latent, **self._leaf_fields("prior")),
            inference=self.inference,
        )
        return SpatioTemporal(model, self.objective, self.num_slots)

    def _leaf_fields(self, name: str) -> dict[str, Any]:
        """The fields of a Linen leaf, checked against its annotations."""
        known = {f.name: f.type for f in dataclasses.fields(_LEAVES[name])}
        hints = {k: hint for k, hint in known.items() if k not in _FROM_ELSEWHERE}
        fields = arguments(hints, getattr(self, name), name)
        for field, value in fields.items():
            least = 0 if (name, field) == ("refiner", "layers") else 1
            if hints[field] is int and value < least:
                raise ValueError(f"{name}.{field} must be at least {least}, got {value}")
        return fields
