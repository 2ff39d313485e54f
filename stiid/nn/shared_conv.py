"""The refinement network's first convolution: what all slots of a frame see is convolved once."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import conv2d
from stiid.kernels.slot_sums import broadcast_slots
from stiid.nn.positions import positions
from stiid.shapes import Array, Params

# Values of the shared channels of one image from which convolving them apart saves time on CPU:
# RGB and coordinates at 64×64, an update of the paper's model 1.03 times as fast; at 32×32 the sum
# of the two parts costs what the convolution saves, an update .97 to .99 times as fast.
_WORTH = 4 * 64 * 64


class SharedConv(nn.Module):
    """A 3×3 convolution of a frame, a slot's own images, coordinates, and features of the frame.

    Of these, in the order of the kernel's input channels, only a slot's own images differ between
    slots and between cells: 11 of 16 channels in RGB, of 32 with SqueezeNet's features. The others
    can be convolved once a frame, by ``convolve_shared``, and added: equal to the convolution of
    all of them side by side, up to rounding.

    Attributes:
      features: output channels F.
      stride: see ``kernels.conv.conv2d``.
      code: channels of features of the frame.
    """

    features: int
    stride: int = 1
    code: int = 0

    @nn.compact
    def __call__(
        self, frame: Array, own: Array, code: Array | None = None, shared: Array | None = None
    ) -> Array:
        """Convolve a slot's own images, and add what the frame adds to all slots.

        Args:
          frame: [B, H, W, C].
          own: [B, K, H, W, I].
          code: features of the frame [B, H, W, P], if there are any and ``shared`` is not given.
          shared: of ``convolve_shared``, or None to convolve all side by side.

        Returns:
          [B, K, ⌈H/stride⌉, ⌈W/stride⌉, F], in the number format of ``own``.
        """
        first, last = frame.shape[-1], 2 + self.code
        shape = (3, 3, first + own.shape[-1] + last, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        batch, slots = own.shape[:2]
        if shared is None:
            images = shared_images(frame, code)
            images = broadcast_slots(images.astype(own.dtype)[:, None], slots)
            own = jnp.concatenate([images[..., :first], own, images[..., first:]], axis=-1)
            added = bias.reshape(1, 1, 1, 1, -1)
        else:
            kernel = kernel[:, :, first:-last]
            added = broadcast_slots(shared[:, None], slots)
        y = conv2d(own.reshape(-1, *own.shape[2:]), kernel.astype(own.dtype), stride=self.stride)
        # Added in float32, in which its gradient is then summed.
        return (y.reshape(batch, slots, *y.shape[1:]) + added).astype(own.dtype)


def is_worth_it(frame: Array) -> bool:
    """Whether convolving a frame [B, H, W, C] and its coordinates apart saves time."""
    height, width, channels = frame.shape[1:]
    return height * width * (channels + 2) >= _WORTH


def shared_images(frame: Array, code: Array | None) -> Array:
    """A frame [B, H, W, C], coordinates, and features [B, H, W, P]: [B, H, W, C + 2 + P]."""
    grid = positions(*frame.shape[1:3]).astype(frame.dtype)
    images = [frame, jnp.broadcast_to(grid, (len(frame), *grid.shape))]
    images += [] if code is None else [code.astype(frame.dtype)]
    return jnp.concatenate(images, axis=-1)


def convolve_shared(params: Params, frame: Array, code: Array | None, *, stride: int) -> Array:
    """Contribution of frame, coordinates and features to the output of all slots, with the bias.

    Args:
      params: of ``SharedConv``.
      frame: [B, H, W, C].
      code: features of the frame [B, H, W, P], or None.
      stride: that of ``SharedConv``.

    Returns:
      [B, ⌈H/stride⌉, ⌈W/stride⌉, F] in float32.
    """
    x = shared_images(frame, code)
    first, kernel = frame.shape[-1], params["kernel"]
    last = x.shape[-1] - first
    kernel = jnp.concatenate([kernel[:, :, :first], kernel[:, :, -last:]], axis=2)
    bias = params["bias"].reshape(1, 1, 1, -1)
    return conv2d(x, kernel.astype(x.dtype), stride=stride) + bias
