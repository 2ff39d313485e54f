"""The refinement network's first convolution: what all slots of a frame see is convolved once."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.kernels.conv import conv2d
from stiid.kernels.slot_sums import broadcast_slots
from stiid.nn.positions import positions
from stiid.shapes import Array, Params


class SharedConv(nn.Module):
    """A 3×3 convolution of a frame, a slot's own images, coordinates, and features of the frame.

    Of these, in the order of the kernel's input channels, only a slot's own images differ between
    slots and between cells: 11 of 16 channels in RGB, of 32 with SqueezeNet's features. The others
    are convolved once a frame and added: equal to ``kernels.conv.Conv`` of all of them side by
    side, up to rounding.

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
          shared: of ``convolve_shared``, or None to compute it here.

        Returns:
          [B, K, ⌈H/stride⌉, ⌈W/stride⌉, F], in the number format of ``own``.
        """
        first, last = frame.shape[-1], 2 + self.code
        shape = (3, 3, first + own.shape[-1] + last, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if shared is None:
            weights = {"kernel": kernel, "bias": bias}
            shared = convolve_shared(weights, frame, code, stride=self.stride)
        batch, slots = own.shape[:2]
        kernel = kernel[:, :, first:-last].astype(own.dtype)
        y = conv2d(own.reshape(-1, *own.shape[2:]), kernel, stride=self.stride)
        y = y.reshape(batch, slots, *y.shape[1:])
        # Added in float32, in which its gradient is then summed.
        return (y + broadcast_slots(shared[:, None], slots)).astype(own.dtype)


def convolve_shared(params: Params, frame: Array, code: Array | None, *, stride: int) -> Array:
    """What frame, coordinates and features add to the output of all slots, with the bias.

    Args:
      params: of ``SharedConv``.
      frame: [B, H, W, C].
      code: features of the frame [B, H, W, P], or None.
      stride: that of ``SharedConv``.

    Returns:
      [B, ⌈H/stride⌉, ⌈W/stride⌉, F] in float32.
    """
    grid = positions(*frame.shape[1:3]).astype(frame.dtype)
    images = [frame, jnp.broadcast_to(grid, (len(frame), *grid.shape))]
    images += [] if code is None else [code.astype(frame.dtype)]
    x = jnp.concatenate(images, axis=-1)
    first, kernel = frame.shape[-1], params["kernel"]
    last = x.shape[-1] - first
    kernel = jnp.concatenate([kernel[:, :, :first], kernel[:, :, -last:]], axis=2)
    bias = params["bias"].reshape(1, 1, 1, -1)
    return conv2d(x, kernel.astype(x.dtype), stride=stride) + bias
