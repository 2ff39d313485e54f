"""Oracles: XLA's own convolution with its own gradients, and a NumPy convolution in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params

from stiid.kernels.conv import BroadcastConv, Conv, conv2d, plain_conv2d
from stiid.kernels.kernel_gradient import kernel_gradient, pixelwise_kernel_gradient
from stiid.kernels.winograd import is_faster

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
PLAIN = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))  # NHWC, HWIO, NHWC as XLA writes it


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def assert_close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), actual, expected)


@partial(jax.jit, static_argnums=0)
def value_and_gradients(convolve, x, kernel):
    """Output, and both gradients of its product with fixed random numbers."""
    y, pullback = jax.vjp(convolve, x, kernel)
    return y, pullback(jnp.asarray(normal(9, y.shape)[0]))


@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
@pytest.mark.parametrize(
    ("kernel_size", "stride"), [(1, 1), (3, 1), (5, 1), (1, 2), (3, 2), (4, 2), (5, 2)]
)
def test_conv2d_equals_the_plain_convolution(kernel_size, stride, size):
    x, kernel = normal(0, (2, *size, 3), (kernel_size, kernel_size, 3, 4))
    actual = value_and_gradients(partial(conv2d, stride=stride), x, kernel)
    expected = value_and_gradients(partial(plain_conv2d, stride=stride), x, kernel)
    assert_close(actual, expected)
    assert_close(actual[0], oracles.conv2d(np.float64(x), np.float64(kernel), stride))


def test_an_even_kernel_is_refused_where_its_gradient_would_be_wrong():
    x, kernel = normal(0, (1, 4, 4, 1), (2, 2, 1, 1))
    with pytest.raises(ValueError, match="kernel_size must be odd without a stride, got 2"):
        conv2d(x, kernel)


# Three convolutions in a loop, the middle of them with a stride on a copy of the image.
def loss_in_scan(convolve, kernel, x):
    def step(x, _):
        y = jnp.tanh(convolve(x, kernel))
        small = convolve(y, kernel, stride=2)
        return y, (small**2).sum()

    x, losses = jax.lax.scan(step, x, None, length=3)
    return losses.sum() + x.sum()


# What inference does: a gradient of the image in a loop, which moves the image, differentiated.
def loss_with_inner_gradient(convolve, kernel, x, *, constant):
    def step(x, _):
        def energy(x):
            y = jnp.tanh(convolve(x, kernel))
            return (y**3).sum(), y

        gradient, y = jax.grad(energy, has_aux=True)(x)
        gradient = jax.lax.stop_gradient(gradient) if constant else gradient
        return x - 0.1 * gradient * y, y.sum()

    x, losses = jax.lax.scan(step, x, None, length=2)
    return losses.sum() + (x**2).sum()


@pytest.mark.parametrize(
    "loss",
    [
        loss_in_scan,
        partial(loss_with_inner_gradient, constant=True),
        partial(loss_with_inner_gradient, constant=False),
    ],
    ids=["scan", "inner gradient as constant", "second derivative"],
)
def test_conv2d_equals_the_plain_convolution_inside_scan(loss):
    x, kernel = normal(1, (2, 6, 5, 3), (3, 3, 3, 3))
    actual, expected = (
        jax.jit(jax.value_and_grad(partial(loss, convolve), argnums=(0, 1)))(0.3 * kernel, x)
        for convolve in (conv2d, plain_conv2d)
    )
    assert_close(actual, expected)


def convolutions(jaxpr):
    """Every convolution in a program, in loops and calls too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from convolutions(inner)


def is_fast(convolution):
    """Plain layout, and no reversed, strided or dilated window."""
    params = convolution.params
    ones = ((1, 1),) * 3
    dilations = (params["window_strides"], params["lhs_dilation"], params["rhs_dilation"])
    return tuple(params["dimension_numbers"]) == PLAIN and dilations == ones


def test_cpu_gradients_consist_of_plain_convolutions_only():
    x, kernel = normal(2, (2, 6, 5, 3), (3, 3, 3, 3))

    def found(convolve):
        loss = partial(loss_with_inner_gradient, convolve, constant=True)
        program = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(kernel, x)
        return [is_fast(convolution) for convolution in convolutions(program.jaxpr)]

    assert all(found(conv2d))
    assert len(found(conv2d)) >= 3  # forward, inner gradient, outer gradient of the input
    assert not all(found(plain_conv2d))  # or the search finds nothing


def test_conv_layer_adds_its_bias_to_each_channel():
    x, kernel, bias = normal(3, (1, 4, 5, 2), (3, 3, 2, 3), (3,))
    y = Conv(3, stride=2).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    assert_close(y, oracles.conv2d(np.float64(x), np.float64(kernel), 2) + bias)


def full_broadcast_conv(params, z, positions):
    """The convolution that ``BroadcastConv`` avoids, of its input written out."""
    n, (height, width, channels) = len(z), positions.shape
    image = jnp.broadcast_to(z[:, None, None], (n, height, width, z.shape[-1]))
    grid = jnp.broadcast_to(positions[None], (n, height, width, channels))
    image = jnp.concatenate([image, grid], -1)
    return plain_conv2d(image, params["kernel"]) + params["bias"].reshape(1, 1, 1, -1)


def assert_broadcast_conv_is_exact(kernel_size, height, width):
    z, positions, kernel, bias = normal(
        4, (3, 4), (height, width, 2), (kernel_size, kernel_size, 6, 5), (5,)
    )
    params = {"kernel": kernel, "bias": bias}
    layer = BroadcastConv(5, kernel_size)

    @partial(jax.jit, static_argnums=0)
    def value_and_gradients(function):
        y, pullback = jax.vjp(function, params, z)
        return y, pullback(jnp.asarray(normal(5, y.shape)[0]))

    assert_close(
        value_and_gradients(lambda params, z: layer.apply({"params": params}, z, positions)),
        value_and_gradients(lambda params, z: full_broadcast_conv(params, z, positions)),
    )


@pytest.mark.parametrize(("height", "width"), [(8, 5), (6, 9)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_broadcast_conv_equals_the_full_convolution(kernel_size, height, width):
    assert_broadcast_conv_is_exact(kernel_size, height, width)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_broadcast_conv_is_the_full_convolution_up_to_float64(kernel_size):
    rng = np.random.default_rng(6)
    shapes = [(3, 4), (8, 5, 2), (kernel_size, kernel_size, 6, 5), (5,)]
    z, positions, kernel, bias = (rng.normal(size=shape) for shape in shapes)
    params = {"kernel": kernel, "bias": bias}
    actual = BroadcastConv(5, kernel_size).apply({"params": params}, z, positions)
    expected = full_broadcast_conv(params, z, positions)
    assert actual.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(half=st.integers(0, 3), extra=st.tuples(st.integers(0, 6), st.integers(0, 6)))
def test_broadcast_conv_is_exact_down_to_the_smallest_image(half, extra):
    smallest = max(2 * half, 1)  # below it, a window hangs over both borders at once
    assert_broadcast_conv_is_exact(2 * half + 1, smallest + extra[0], smallest + extra[1])


# --- gradients of kernels, and wide convolutions --------------------------------------------------


@pytest.mark.parametrize(
    ("size", "channels"), [((3, 3), (2, 5)), ((3, 3), (5, 2)), ((1, 5), (3, 3))]
)
def test_kernel_gradient_equals_the_plain_one(size, channels):
    """Blocks of a part of an image (20×16 pixels) and of several (6×5)."""
    for shape in ((2, 20, 16), (4, 6, 5)):
        x, g = normal(5, (*shape, channels[0]), (*shape, channels[1]))
        kernel = np.zeros((*size, *channels), np.float32)
        expected = jax.vjp(partial(plain_conv2d, x), kernel)[1](g)[0]
        assert_close(kernel_gradient(x, g, size=size), expected)


@pytest.mark.parametrize("channels", [(2, 5), (5, 2)])
def test_kernel_gradient_sums_bfloat16_in_float32(channels):
    """The kernel's middle sees all 40 · 64 · 64 = 163840 ones; in bfloat16 256 + 1 is 256."""
    x, g = (np.ones((40, 64, 64, count), jnp.bfloat16) for count in channels)
    gradient = kernel_gradient(x, g, size=(3, 3))
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.float32(gradient[1, 1]), 40.0 * 64 * 64)


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 1), (32, 32), (33, 32), (32, 33)])
def test_gradient_of_a_1x1_kernel_is_the_product_of_pixels(inputs, outputs):
    """By sums up to 1024 weights; of more by a product, whichever side is the wider one."""
    x, g = normal(6, (2, 9, 7, inputs), (2, 9, 7, outputs))
    expected = np.einsum("nhwi,nhwo->io", *(a.astype(np.float64) for a in (x, g)))
    gradient = pixelwise_kernel_gradient(x, g)
    assert gradient.shape == (inputs, outputs)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [(5, 4), (40, 30), (30, 40)])
def test_gradient_of_a_1x1_kernel_sums_bfloat16_in_float32(channels):
    x, g = (np.ones((40, 64, 64, count), jnp.bfloat16) for count in channels)
    gradient = pixelwise_kernel_gradient(x, g)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.float32(gradient), 40.0 * 64 * 64)


@pytest.mark.parametrize("layer", [Conv(2), BroadcastConv(2)])
def test_gradients_that_pixels_share_are_summed_in_float32(layer):
    """A bias' gradient of all 10 · 64 · 64 outputs is their number, to bfloat16's 2⁻⁸."""
    inputs = [jnp.ones((10, 64, 64, 1)) if isinstance(layer, Conv) else jnp.ones((10, 3))]
    if isinstance(layer, BroadcastConv):
        inputs.append(jnp.ones((64, 64, 1)))
    params = layer.init(jax.random.key(0), *inputs)

    def total(params, first):
        out = layer.apply(params, first.astype(jnp.bfloat16), *inputs[1:])
        assert out.dtype == jnp.bfloat16
        return out.astype(jnp.float32).sum()

    gradients, of_input = jax.grad(total, argnums=(0, 1))(params, inputs[0])
    _, exact = jax.grad(lambda *a: layer.apply(*a, *inputs[1:]).sum(), argnums=(0, 1))(
        params, inputs[0]
    )
    np.testing.assert_array_equal(gradients["params"]["bias"], 40960.0)
    if isinstance(layer, BroadcastConv):
        np.testing.assert_allclose(of_input, exact, rtol=2e-2)


WIDE = (2, 8, 5, 64), (3, 3, 64, 64)


def test_wide_convolutions_equal_the_plain_ones():
    x, kernel = normal(6, *WIDE)
    kernel = kernel / 24
    assert is_faster(jnp.asarray(x), jnp.asarray(kernel))
    actual, expected = (value_and_gradients(f, x, kernel) for f in (conv2d, plain_conv2d))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())
    exact = oracles.conv2d(np.float64(x), np.float64(kernel), 1)
    np.testing.assert_allclose(actual[0], exact, atol=1e-5 * np.abs(exact).max())


def test_wide_convolutions_take_half_the_products():
    x, kernel = normal(6, *WIDE)
    program = jax.make_jaxpr(conv2d)(x, kernel)
    kernels = [found.invars[1].aval.shape for found in convolutions(program.jaxpr)]
    assert kernels == [(1, 3, 64, 64)] * 6  # on a quarter of the rows: 18 of 36 products


@pytest.mark.parametrize(
    ("x", "kernel"),
    [
        ((1, 8, 8, 63), (3, 3, 63, 64)),
        ((1, 8, 8, 64), (3, 3, 64, 4)),
        ((1, 6, 8, 64), (3, 3, 64, 64)),
        ((1, 8, 8, 64), (5, 5, 64, 64)),
    ],
)
def test_what_is_not_wide_or_does_not_fit_is_left_to_the_plain_convolution(x, kernel):
    assert not is_faster(jnp.zeros(x), jnp.zeros(kernel))
    assert not is_faster(jnp.zeros(WIDE[0], jnp.bfloat16), jnp.zeros(WIDE[1], jnp.bfloat16))
