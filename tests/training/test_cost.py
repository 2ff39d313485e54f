"""What an update costs, counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from stiid.training import cost

SHAPE = jax.ShapeDtypeStruct


def operations(function, *shapes):
    arguments = (SHAPE(shape, jnp.float32) for shape in shapes)
    return cost._operations(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_products_count_two_operations_a_term():
    assert operations(lambda a, b: a @ b, (2, 3), (3, 5)) == 2 * 2 * 3 * 5


def test_convolutions_count_their_kernel():
    def conv(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert operations(conv, (1, 8, 8, 3), (3, 3, 3, 7)) == 2 * 8 * 8 * 7 * (3 * 3 * 3)


def test_loops_count_their_turns():
    def loop(x):
        return jax.lax.scan(lambda carry, _: (carry * 2.0, None), x, length=11)[0]

    assert operations(loop, (4,)) == 11 * 4 * cost._ELEMENT


def test_an_update_is_shared_by_the_cores():
    shapes = (SHAPE((2, 3), jnp.float32), SHAPE((3, 5), jnp.float32))
    one = cost.update_seconds(jnp.matmul, shapes, clips=8, cores=1)
    assert one == pytest.approx(3 * 8 * 60 / 8e10)
    assert cost.update_seconds(jnp.matmul, shapes, clips=8, cores=4) == pytest.approx(one / 4)
