"""Image features as extra inputs of the refinement network: the first blocks of SqueezeNet 1.1."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import Conv
from stiid.kernels.elu import elu
from stiid.shapes import Array

CODE = 16  # channels of the features


class Fire(nn.Module):
    """Fire block: squeeze to 16 channels, expand to 64 by 1×1 and 64 by 3×3, all with ReLU."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Compute features [N, H, W, 128] of images [N, H, W, I]."""
        x = nn.relu(Conv(16, 1, name="squeeze")(x))
        parts = [Conv(64, n, name=f"expand{n}x{n}")(x) for n in (1, 3)]
        return nn.relu(jnp.concatenate(parts, axis=-1))


class SqueezeFeatures(nn.Module):
    """Frame → nearest-neighbor upsampling to 4H + 1 → SqueezeNet 1.1 up to its second Fire → head.

    This follows the *authors' code*, but trains all weights, where they freeze SqueezeNet with its
    ImageNet weights. The frame is not normalized as SqueezeNet's training images were.
    """

    @nn.compact
    def __call__(self, frame: Array) -> Array:
        """Compute features [B, H, W, 16] of frames [B, H, W, 3]."""
        _, height, width, _ = frame.shape
        rows, columns = (jnp.arange(4 * n + 1) * n // (4 * n + 1) for n in (height, width))
        x = frame[:, rows][:, :, columns]
        # A convolution without padding: the outputs that are kept see none of the zeros added here.
        x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        x = nn.relu(Conv(64, stride=2, name="conv")(x)[:, : 2 * height, : 2 * width])
        # As PyTorch's ceil_mode: the last window extends beyond the border.
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((0, 1), (0, 1)))
        x = Fire(name="fire_0")(x)
        x = Fire(name="fire_1")(x)
        for i, features in enumerate((64, 32, CODE)):
            x = elu(Conv(features, name=f"head_{i}")(x))
        return x
