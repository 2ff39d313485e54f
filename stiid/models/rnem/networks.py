"""R-NEM's networks: encoder, recurrent cells, decoder.

Shapes as in ``stiid.shapes``, and N slots of all videos of a batch (B · K), M size of the hidden
state, F size of an encoded input.

Every layer is linear → layer norm → activation. A layer norm takes mean and variance over all axes
of an example together, rows, columns and channels, and has a gain and a bias per channel. Weights
start Xavier-uniform and biases at zero.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from stiid.kernels.conv import Conv
from stiid.kernels.upsample import UpsampleConv
from stiid.shapes import Array

_xavier = nn.initializers.xavier_uniform()


def _dense(features: int) -> nn.Dense:
    return nn.Dense(features, kernel_init=_xavier)


def _normalize(x: Array, *, image: bool = False) -> Array:
    """Layer norm of vectors [..., F], or of images [N, H, W, F] over H, W and F jointly."""
    axes = (-3, -2, -1) if image else -1
    norm = nn.LayerNorm(
        epsilon=1e-12, reduction_axes=axes, feature_axes=-1, use_fast_variance=False
    )
    return norm(x)


class Encoder(nn.Module):
    """Encode one slot's difference between frame and prediction as a vector.

    Attributes:
      features: channels of the convolutions, each of which halves rows and columns.
      hidden: F.
    """

    features: tuple[int, ...]
    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N, H, W, C] → [N, F]."""
        for features in self.features:
            x = Conv(features, kernel_size=4, stride=2, kernel_init=_xavier)(x)
            x = nn.elu(_normalize(x, image=True))
        x = _dense(self.hidden)(x.reshape(len(x), -1))
        return nn.elu(_normalize(x))


class RelationalCell(nn.Module):
    """Next state of each slot from its state, its input, and the effects of all other slots.

    Attributes:
      features: M.
      attention_features: width of the attention network; None gives all effects the weight 1.
    """

    features: int
    attention_features: int | None

    @nn.compact
    def __call__(self, inputs: Array, hidden: Array) -> tuple[Array, Array]:
        """Inputs [B, K, F] and state [B, K, M] → what the decoder sees, and the next state."""
        slots = hidden.shape[1]
        encoded = nn.relu(_normalize(_dense(self.features)(hidden)))
        others = np.array([[i for i in range(slots) if i != k] for k in range(slots)])
        context = encoded[:, others]  # [B, K, K − 1, M]
        focus = jnp.broadcast_to(encoded[:, :, None], context.shape)
        core = jnp.concatenate([focus, context], axis=-1)
        core = nn.relu(_normalize(_dense(self.features)(core)))
        effects = nn.relu(_normalize(_dense(self.features)(core)))
        if self.attention_features is not None:
            attention = jnp.tanh(_normalize(_dense(self.attention_features)(core)))
            effects = nn.sigmoid(_dense(1)(attention)) * effects
        total = jnp.concatenate([encoded, effects.sum(2), inputs], axis=-1)
        return _outputs(_dense(self.features)(total))


class PlainCell(nn.Module):
    """RNN-EM's cell: slots do not see each other.

    Attributes:
      features: M.
    """

    features: int

    @nn.compact
    def __call__(self, inputs: Array, hidden: Array) -> tuple[Array, Array]:
        """See ``RelationalCell``."""
        return _outputs(_dense(self.features)(jnp.concatenate([inputs, hidden], axis=-1)))


def _outputs(state: Array) -> tuple[Array, Array]:
    """Outputs for the decoder, with layer norm, and for the next step, without."""
    return nn.sigmoid(_normalize(state)), nn.sigmoid(state)


class Decoder(nn.Module):
    """A slot's prediction μ of the next frame, from its state.

    Attributes:
      height: rows H, a multiple of 2^len(features).
      width: columns W, likewise.
      channels: C.
      features: of the encoder; they are passed through in reverse.
      hidden: width of the first layer.
    """

    height: int
    width: int
    channels: int
    features: tuple[int, ...]
    hidden: int

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[N, M] → [N, H, W, C] in (0, 1)."""
        first, *rest = reversed(self.features)
        factor = 2 ** len(self.features)
        grid = (self.height // factor, self.width // factor, first)
        x = nn.relu(_normalize(_dense(self.hidden)(z)))
        x = nn.relu(_normalize(_dense(int(np.prod(grid)))(x))).reshape(-1, *grid)
        for features in rest:
            x = UpsampleConv(features, kernel_init=_xavier)(x)
            x = nn.relu(_normalize(x, image=True))
        return nn.sigmoid(UpsampleConv(self.channels, kernel_init=_xavier)(x))
