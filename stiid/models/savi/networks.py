"""SAVi's networks: encoder, slot-attention corrector, transformer predictor, broadcast decoder.

Shapes as in ``stiid.shapes``, and N images, P inputs of a frame, F features of an input, S size of
a slot. Layer norms are over features, with ε = 1e-6.
"""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import Conv
from stiid.kernels.upsample import TransposedConv
from stiid.models.savi.attention import competing, gather, self_attention
from stiid.nn.positions import positions
from stiid.shapes import Array, Decoded


class Positions(nn.Module):
    """Add a linear map of row and column, in [−1, 1], to the features of each pixel."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N, H, W, F] → [N, H, W, F]."""
        return x + nn.Dense(x.shape[-1])(positions(*x.shape[1:3]))[None]


class FrameEncoder(nn.Module):
    """Encode a frame as a set of inputs, one per pixel of its features.

    Attributes:
      features: channels of the convolutions; the last are F.
      strides: of the convolutions.
      kernel_size: of the convolutions, odd.
      hidden: width of the network that follows, pixel by pixel.
    """

    features: tuple[int, ...]
    strides: tuple[int, ...]
    kernel_size: int
    hidden: int

    @nn.compact
    def __call__(self, frames: Array) -> Array:
        """[N, H, W, C] → [N, P, F]."""
        x = frames
        for features, stride in zip(self.features, self.strides, strict=True):
            x = nn.relu(Conv(features, kernel_size=self.kernel_size, stride=stride)(x))
        x = nn.LayerNorm()(Positions()(x))
        x = nn.relu(Conv(self.hidden, kernel_size=1)(x))
        x = Conv(self.features[-1], kernel_size=1)(x)
        return x.reshape(len(x), -1, x.shape[-1])


class Corrector(nn.Module):
    """Slot attention: slots compete for the inputs of a frame, and a GRU updates them.

    Attributes:
      size: S.
      mlp: hidden width of a residual network after the GRU; 0: no such network.
    """

    size: int
    mlp: int

    @nn.compact
    def __call__(self, slots: Array, inputs: Array, iterations: int) -> Array:
        """Slots [B, K, S] and inputs [B, P, F] → slots, after some iterations."""
        inputs = nn.LayerNorm(name="norm_inputs")(inputs)
        keys = nn.Dense(self.size, use_bias=False, name="keys")(inputs)
        values = nn.Dense(self.size, use_bias=False, name="values")(inputs)
        norm = nn.LayerNorm(name="norm_slots")
        queries = nn.Dense(self.size, use_bias=False, name="queries")
        cell = nn.GRUCell(self.size, name="gru")
        mlp = _Residual(self.mlp, name="mlp") if self.mlp else None
        for _ in range(iterations):
            shares = competing(queries(norm(slots)), keys)
            slots, _ = cell(slots, gather(shares, values))
            slots = slots if mlp is None else mlp(slots)
        return slots


class _Residual(nn.Module):
    """Layer norm and a network of one hidden layer, added to its input."""

    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.relu(nn.Dense(self.hidden)(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(y)


class Predictor(nn.Module):
    """A transformer block with layer norms after its sums, which predicts the next frame's slots.

    Attributes:
      heads: of the attention.
      mlp: hidden width.
    """

    heads: int
    mlp: int

    @nn.compact
    def __call__(self, slots: Array) -> Array:
        """Slots of a frame → slots that the next frame starts from, [B, K, S]."""
        size = slots.shape[-1]
        triple = (nn.Dense(size, name=name)(slots) for name in ("queries", "keys", "values"))
        seen = nn.Dense(size, name="output")(self_attention(*triple, heads=self.heads))
        slots = nn.LayerNorm(name="norm_attention")(slots + seen)
        moved = nn.Dense(size, name="mlp_out")(nn.relu(nn.Dense(self.mlp, name="mlp_in")(slots)))
        return nn.LayerNorm(name="norm_mlp")(slots + moved)


class SlotDecoder(nn.Module):
    """Broadcast a slot over a small grid, upsample it, and decode appearance and mask logit.

    Attributes:
      height: rows H, a multiple of 2^doublings.
      width: columns W, likewise.
      channels: C.
      features: of the convolutions, at least as many as ``doublings``.
      doublings: the first layers, of 5×5, double rows and columns; the others keep them.
      kernel_size: of the others, odd.
    """

    height: int
    width: int
    channels: int
    features: tuple[int, ...]
    doublings: int
    kernel_size: int

    @nn.compact
    def __call__(self, slots: Array) -> Decoded:
        """[N, K, S] → appearance, which no sigmoid bounds, and mask logits."""
        count, factor = slots.shape[:2], 2**self.doublings
        grid = (self.height // factor, self.width // factor)
        x = slots.reshape(-1, 1, 1, slots.shape[-1])
        x = Positions()(jnp.broadcast_to(x, (len(x), *grid, x.shape[-1])))
        for layer, features in enumerate(self.features):
            name, size = f"conv_{layer}", self.kernel_size
            doubling = layer < self.doublings
            convolve: nn.Module = (
                TransposedConv(features, name=name) if doubling else Conv(features, size, name=name)
            )
            x = nn.relu(convolve(x))
        read = (Conv(self.channels, 1, name="means")(x), Conv(1, 1, name="logits")(x))
        return Decoded(*(x.reshape(*count, *x.shape[1:]) for x in read))
