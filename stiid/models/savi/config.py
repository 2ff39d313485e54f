"""SAVi as a section of a config."""

from dataclasses import dataclass
from typing import Literal

from stiid.models.savi.model import Savi
from stiid.models.savi.networks import Corrector, FrameEncoder, Predictor, SlotDecoder
from stiid.models.savi.starts import CuedSlots, LearnedSlots, SampledSlots


@dataclass(frozen=True, kw_only=True)
class SaviConfig:
    """SAVi. The defaults are the original's small model (SAVi-S) at 64×64, but for its start.

    Attributes:
      family: "savi".
      num_slots: K in training, objects + 1.
      start: first slots: "learned": a vector for each slot; "sampled": samples of one learned
        Gaussian; "boxes" (the original's) or "centers": those of the true objects, of which slot 0,
        the background, has none. This needs data with true masks, in training and at test.
      start_mlp: hidden width of the network that reads boxes or centers.
      slot_size: S.
      first_iterations: iterations of slot attention in the first frame.
      iterations: iterations of slot attention in later frames.
      corrector_mlp: hidden width of a network after the corrector's GRU; 0: no such network.
      heads: attention heads of the predictor.
      predictor_mlp: hidden width of the predictor.
      kernel_size: of all convolutions, except those that double rows and columns, which have 5.
      encoder_features: channels of the encoder's convolutions.
      encoder_strides: their strides.
      encoder_mlp: hidden width of the network after them.
      decoder_features: channels of the decoder's convolutions.
      doublings: number of these convolutions, from the first on, that double rows and columns.
        Slots are broadcast over a grid of H / 2^doublings × W / 2^doublings.
    """

    family: Literal["savi"] = "savi"
    num_slots: int = 11
    start: Literal["learned", "sampled", "boxes", "centers"] = "sampled"
    start_mlp: int = 256
    slot_size: int = 128
    first_iterations: int = 1
    iterations: int = 1
    corrector_mlp: int = 0
    heads: int = 4
    predictor_mlp: int = 256
    kernel_size: int = 5
    encoder_features: tuple[int, ...] = (32, 32, 32, 32)
    encoder_strides: tuple[int, ...] = (1, 1, 1, 1)
    encoder_mlp: int = 64
    decoder_features: tuple[int, ...] = (64, 64, 64, 64)
    doublings: int = 3

    def __post_init__(self) -> None:
        """Validate the fields."""
        names = ("num_slots", "slot_size", "first_iterations", "iterations", "heads")
        for name in (*names, "start_mlp", "predictor_mlp", "encoder_mlp"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.corrector_mlp < 0:
            raise ValueError(f"corrector_mlp must not be negative, got {self.corrector_mlp}")
        for name in ("encoder_features", "encoder_strides", "decoder_features"):
            if min(getattr(self, name), default=0) < 1:
                raise ValueError(f"{name}: expected sizes from 1 on, got {getattr(self, name)}")
        if len(self.encoder_strides) != len(self.encoder_features):
            raise ValueError(
                f"encoder_strides: expected one for each of {len(self.encoder_features)} "
                f"convolutions, got {self.encoder_strides}"
            )
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        if not 0 <= self.doublings <= len(self.decoder_features):
            raise ValueError(
                f"doublings must lie in 0 … {len(self.decoder_features)}, the number of "
                f"decoder_features, got {self.doublings}"
            )
        if self.slot_size % self.heads:
            raise ValueError(
                f"slot_size must be a multiple of heads = {self.heads}, got {self.slot_size}"
            )

    @property
    def cued(self) -> bool:
        """See ``models.base.CuedModel``."""
        return self.start in ("boxes", "centers")

    def _start(self) -> LearnedSlots | SampledSlots | CuedSlots:
        if self.start == "learned":
            return LearnedSlots(self.num_slots, self.slot_size)
        if self.start == "sampled":
            return SampledSlots(self.slot_size)
        return CuedSlots(self.slot_size, self.start_mlp, center=self.start == "centers")

    def build(self, image_shape: tuple[int, int, int]) -> Savi:
        """See ``models.base.ModelConfig``."""
        height, width, channels = image_shape
        if height % 2**self.doublings or width % 2**self.doublings:
            raise ValueError(
                f"config.model.doublings: {self.doublings} of them need images whose sides are "
                f"multiples of {2**self.doublings}, got {height}×{width}"
            )
        return Savi(
            num_slots=self.num_slots,
            size=self.slot_size,
            first_iterations=self.first_iterations,
            iterations=self.iterations,
            start=self._start(),
            encoder=FrameEncoder(
                self.encoder_features, self.encoder_strides, self.kernel_size, self.encoder_mlp
            ),
            corrector=Corrector(self.slot_size, self.corrector_mlp),
            predictor=Predictor(self.heads, self.predictor_mlp),
            decoder=SlotDecoder(
                height, width, channels, self.decoder_features, self.doublings, self.kernel_size
            ),
        )
