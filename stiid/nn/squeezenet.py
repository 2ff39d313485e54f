"""Image features beside the refinement network's inputs: the first blocks of SqueezeNet 1.1."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import Conv
from stiid.kernels.elu import elu
from stiid.shapes import Array


class Fire(nn.Module):
    """Squeeze to 16 channels, expand to 64 by 1×1 and 64 by 3×3, all with ReLU."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N, H, W, I] → [N, H, W, 128]."""
        x = nn.relu(Conv(16, 1, name="squeeze")(x))
        parts = [Conv(64, n, name=f"expand{n}x{n}")(x) for n in (1, 3)]
        return nn.relu(jnp.concatenate(parts, axis=-1))


class SqueezeFeatures(nn.Module):
    """Frame → nearest-neighbor enlargement to 4H + 1 → SqueezeNet 1.1 up to its second Fire → head.

    After the *authors' code*; here all of it is trained, where they freeze SqueezeNet with ImageNet
    weights. The frame is not normalized as SqueezeNet's training images were.
    """

    @nn.compact
    def __call__(self, frame: Array) -> Array:
        """[B, H, W, 3] → [B, H, W, 16]."""
        _, height, width, _ = frame.shape
        rows, columns = (jnp.arange(4 * n + 1) * n // (4 * n + 1) for n in (height, width))
        x = frame[:, rows][:, :, columns]
        # A convolution without padding: of a border of zeros, no output that is kept sees any.
        x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        x = nn.relu(Conv(64, stride=2, name="conv")(x)[:, : 2 * height, : 2 * width])
        # PyTorch's ceil_mode: the last window hangs over the border.
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((0, 1), (0, 1)))
        x = Fire(name="fire_0")(x)
        x = Fire(name="fire_1")(x)
        for i, features in enumerate((64, 32, 16)):
            x = elu(Conv(features, name=f"head_{i}")(x))
        return x
