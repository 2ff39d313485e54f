"""The number format of image-sized computation; parameters and everything else stay float32."""

import jax.numpy as jnp

from stiid.shapes import Array

PRECISIONS = ("float32", "bfloat16")


def image_sized(x: Array, *, precision: str) -> Array:
    """Cast the input of a stack of convolutions: ``kernels.conv`` computes in its input's format.

    Args:
      x: input of a stack of convolutions.
      precision: "float32": unchanged; "bfloat16": 8 bits of significand, which halves the memory
        and uses the matrix units of GPUs and TPUs. XLA:CPU is no faster with it.
    """
    return x.astype(jnp.bfloat16) if precision == "bfloat16" else x
