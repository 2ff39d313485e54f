"""The refinement network f_φ (Eq. 4)."""

from typing import cast

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import Conv
from stiid.kernels.elu import elu
from stiid.kernels.precision import image_sized
from stiid.nn.lstm2d import LSTM2D, MixingLSTM2D
from stiid.nn.shared_conv import SharedConv, convolve_shared, is_worth_it
from stiid.nn.squeezenet import CODE, SqueezeFeatures
from stiid.shapes import Array, Gaussian, LSTMState, Params

POOLS = ("average", "mean", "none")
CELLS = ("graves", "mixing")


class Refiner(nn.Module):
    """Convolutions → pool → linear → (with the vectors) 2D-LSTM → linear → Δλ.

    The defaults are the paper's.

    Attributes:
      latent_size: D.
      features: width of the convolutions.
      layers: number of 3×3 convolutions; 0 leaves out all image-sized inputs, as EfficientMORL
        does: only λ and its gradient are inputs.
      stride: of each convolution; 2 (IODINE) costs about a twentieth.
      pool: "average": 4×4 windows with stride 4 (goes with stride 1); "mean": over the whole
        image; "none".
      hidden: width of the linear layer after the pool.
      lstm_features: M.
      cell: "graves": ``LSTM2D``; "mixing": ``MixingLSTM2D`` (*authors' code*), to which
        ``forget_bias``, ``two_biases`` and ``forget_scale`` do not apply.
      forget_bias: see ``LSTM2D``; like ``output_scale``, it has an effect with
        ``initial_weights="lecun"`` only.
      two_biases: see ``LSTM2D``.
      squeezenet: *authors' code*: add the frame's ``nn.squeezenet.SqueezeFeatures`` (16
        channels) to the image-sized inputs; needs RGB.
      forget_scale: *not in the paper*: see ``LSTM2D``.
      output_scale: *not in the paper*: factor on the initial weights of the last layer; small
        values start the refinement near no change.
      precision: of the convolutions, one of ``kernels.precision.PRECISIONS``.
    """

    latent_size: int
    features: int = 64
    layers: int = 4
    stride: int = 1
    pool: str = "average"
    hidden: int = 128
    lstm_features: int = 128
    cell: str = "graves"
    forget_bias: float = 0.0
    two_biases: bool = False
    # Not in the paper.
    squeezenet: bool = False
    forget_scale: float = 1.0
    output_scale: float = 1.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Refuse unknown options before anything is traced."""
        if self.pool not in POOLS:
            raise ValueError(f"refiner.pool: expected one of {POOLS}, got {self.pool!r}")
        if self.cell not in CELLS:
            raise ValueError(f"refiner.cell: expected one of {CELLS}, got {self.cell!r}")
        if self.squeezenet and not self.layers:
            raise ValueError(
                "refiner.squeezenet needs convolutions: set refiner.layers to 1 or more"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        frame: Array,
        images: Array,
        vectors: Array,
        refinement: LSTMState,
        time: LSTMState | None,
        shared: Array | None = None,
    ) -> tuple[Gaussian, LSTMState]:
        """Compute one update of the posterior.

        Args:
          frame: [B, H, W, C].
          images: [B, K, H, W, I] image-sized inputs of the slots.
          vectors: [B, K, V] vector-sized inputs.
          refinement: state (t, r−1).
          time: state (t−1, R̂), or None without a time axis.
          shared: from ``frame_inputs``, or None.

        Returns:
          Δλ as (Δμ, Δ log σ²), and the state (t, r).
        """
        x = vectors
        if self.layers:
            x = jnp.concatenate([vectors, self._image_features(frame, images, shared)], axis=-1)
        state = self._lstm()(x, refinement, time)
        init = nn.initializers.variance_scaling(self.output_scale**2, "fan_in", "truncated_normal")
        delta = nn.Dense(2 * self.latent_size, kernel_init=init, name="out")(state.h)
        return Gaussian(*jnp.split(delta, 2, axis=-1)), state

    @nn.nowrap
    def frame_inputs(self, params: Params, frame: Array) -> Array | None:
        """First convolution of the inputs that all cells of a frame share, see ``nn.shared_conv``.

        Args:
          params: of this network.
          frame: [B, H, W, C].

        Returns:
          [B, ⌈H/stride⌉, ⌈W/stride⌉, features], or None without image-sized inputs and where the
          cells are faster if each convolves all of its inputs.
        """
        if not self.layers or not (self.squeezenet or is_worth_it(frame)):
            return None
        code = None
        if self.squeezenet:
            squeezenet = SqueezeFeatures()
            code = cast(Array, squeezenet.apply({"params": params["squeezenet"]}, _rgb(frame)))
        frame = image_sized(frame, precision=self.precision)
        return convolve_shared(params["conv_0"], frame, code, stride=self.stride)

    @nn.nowrap
    def _lstm(self) -> nn.Module:
        if self.cell == "mixing":
            return MixingLSTM2D(self.lstm_features, name="lstm")
        gates = (self.forget_scale, self.forget_bias, self.two_biases)
        return LSTM2D(self.lstm_features, *gates, name="lstm")

    @nn.nowrap
    def _image_features(self, frame: Array, images: Array, shared: Array | None) -> Array:
        """Features of the image-sized inputs, [B, K, hidden]; part of ``__call__``."""
        slots, code = images.shape[:2], None
        if self.squeezenet and shared is None:
            code = SqueezeFeatures(name="squeezenet")(_rgb(frame))
        given, own = (image_sized(x, precision=self.precision) for x in (frame, images))
        first = SharedConv(
            self.features, self.stride, CODE if self.squeezenet else 0, name="conv_0"
        )
        x = first(given, own, code, shared)
        x = elu(x.reshape(-1, *x.shape[2:]))
        for i in range(1, self.layers):
            x = elu(Conv(self.features, stride=self.stride, name=f"conv_{i}")(x))
        x = x.astype(images.dtype)
        if self.pool == "average":
            if min(x.shape[1:3]) < 4:
                raise ValueError(
                    "refiner.pool = 'average' needs maps of at least 4×4 after the convolutions, "
                    f"got {x.shape[1]}×{x.shape[2]}: use 'mean', fewer layers or a smaller stride"
                )
            # Means over axes of length 4: on XLA:CPU, the gradient of a window's mean takes a
            # hundred times as long (19 ms of a core at 5×64×64×64; 4 % of an update of IODINE).
            rows, columns = x.shape[1] // 4, x.shape[2] // 4
            x = x[:, : 4 * rows, : 4 * columns]
            x = x.reshape(len(x), rows, 4, columns, 4, -1).mean((2, 4))
        elif self.pool == "mean":
            x = x.mean(axis=(1, 2))
        return elu(nn.Dense(self.hidden, name="in")(x.reshape(*slots, -1)))


def _rgb(frame: Array) -> Array:
    """The frame; raises unless it is RGB."""
    if frame.shape[-1] != 3:
        raise ValueError(f"refiner.squeezenet needs RGB frames, got {frame.shape[-1]} channel(s)")
    return frame
