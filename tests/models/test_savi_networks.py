"""Networks of SAVi. Oracles: NumPy in float64, and literal numbers of the public modules.

The literal numbers are those of google-research/slot-attention-video at ba8f15e, run with flax
0.12.8 on the parameters and inputs of ``savi_case`` (its GRU was given its size, which flax now
asks for); images are flattened. Ours gave the same on that machine, to the last bit but for the
transposed convolutions, which are computed in another order.
"""

import dataclasses

import jax
import numpy as np
import pytest
import savi_case as case
from jax import lax
from savi_case import HEADS, MLP, B, F, K, P, S, dense, draw, layer_norm, params_of, relu, softmax

from stiid.kernels.upsample import TransposedConv
from stiid.method import likelihood
from stiid.models.savi.config import SaviConfig
from stiid.models.savi.networks import Corrector
from stiid.models.savi.starts import CuedSlots, boxes, centers

pytestmark = pytest.mark.usefixtures("quick_compilation")

SLOTS, INPUTS = draw(1, B, K, S), draw(2, B, P, F)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def gru(h, x, params):
    """PyTorch's and flax's GRU: the reset gate acts on the transformed state."""
    of_x, of_h = (
        {gate: dense(value, params[source + gate]) for gate in "rzn"}
        for source, value in (("i", x), ("h", h))
    )
    reset, update = (case.sigmoid(of_x[gate] + of_h[gate]) for gate in "rz")
    new = np.tanh(of_x["n"] + reset * of_h["n"])
    return (1 - update) * new + update * h


def numpy_corrector(slots, inputs, params, iterations):
    """Slot by slot and input by input, as Algorithm 1 of Slot Attention has it."""
    inputs = layer_norm(inputs, params["norm_inputs"])
    keys, values = (dense(inputs, params[name]) for name in ("keys", "values"))
    for _ in range(iterations):
        queries = dense(layer_norm(slots, params["norm_slots"]), params["queries"])
        logits = np.zeros((B, K, P))
        for k in range(K):
            for p in range(P):
                logits[:, k, p] = (queries[:, k] * keys[:, p]).sum(-1) / np.sqrt(S)
        shares = softmax(logits, axis=1)
        weights = shares / (shares.sum(2, keepdims=True) + 1e-8)
        slots = gru(slots, (weights[..., None] * values[:, None]).sum(2), params["gru"])
        if "mlp" in params:
            hidden = relu(
                dense(layer_norm(slots, params["mlp"]["LayerNorm_0"]), params["mlp"]["Dense_0"])
            )
            slots = slots + dense(hidden, params["mlp"]["Dense_1"])
    return slots


@pytest.mark.parametrize(
    ("mlp", "first", "total"),
    [
        (0, [0.030036, -0.365657, -0.197715, -0.135898, 0.589404, 0.105539], -1.803000),
        (MLP, [0.043954, -0.683637, 0.231121, -2.730934, -1.164441, 0.014047], -15.955598),
    ],
)
def test_slot_attention(mlp, first, total):
    module = Corrector(S, mlp)
    params = params_of(module, SLOTS, INPUTS, iterations=2)
    result = np.asarray(module.apply({"params": params}, SLOTS, INPUTS, 2))
    np.testing.assert_allclose(result, numpy_corrector(SLOTS, INPUTS, params, 2), atol=1e-5)
    np.testing.assert_allclose(result.ravel()[:6], first, atol=2e-6)
    assert result.sum() == pytest.approx(total, abs=1e-4)


def test_predictor():
    params = params_of(case.PREDICTOR, SLOTS)
    triple = [dense(SLOTS, params[name]) for name in ("queries", "keys", "values")]
    mixed = np.zeros((B, K, S))
    for head in np.split(np.arange(S), HEADS):
        queries, keys, values = (x[..., head] for x in triple)
        weights = softmax(np.einsum("bqs,bks->bqk", queries, keys) / np.sqrt(S / HEADS), axis=2)
        mixed[..., head] = np.einsum("bqk,bks->bqs", weights, values)
    slots = layer_norm(SLOTS + dense(mixed, params["output"]), params["norm_attention"])
    moved = dense(relu(dense(slots, params["mlp_in"])), params["mlp_out"])
    expected = layer_norm(slots + moved, params["norm_mlp"])
    result = np.asarray(case.PREDICTOR.apply({"params": params}, SLOTS))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    literal = [-0.094775, -0.066410, -0.002811, -0.956393, 1.133329, -0.255593]
    np.testing.assert_allclose(result.ravel()[:6], literal, atol=2e-6)
    assert result.sum() == pytest.approx(-6.977356, abs=1e-4)


def test_encoder():
    frames = draw(3, B, 8, 8, 3)
    params = params_of(case.ENCODER, frames)
    result = np.asarray(jax.jit(case.ENCODER.apply)({"params": params}, frames))
    literal = [0.396183, 0.421774, 0.578263, 0.957461, 0.018332, 0.393754]
    np.testing.assert_allclose(result.ravel()[:6], literal, atol=1e-5)
    assert result.shape == (B, 64, F)
    assert result.sum() == pytest.approx(301.966488, abs=2e-3)


def test_decoder():
    params = params_of(case.DECODER, SLOTS)
    decoded = jax.jit(case.DECODER.apply)({"params": params}, SLOTS)
    masks = likelihood.slot_masks(decoded.logits)
    image = np.asarray(likelihood.mix(masks, decoded.means))
    literal = [-1.128390, 0.897478, -1.410406, -0.498105, -1.060896, 0.305343]
    np.testing.assert_allclose(image.ravel()[:6], literal, atol=5e-5)
    assert image.sum() == pytest.approx(-778.891756, abs=1e-2)
    literal = [0.348440, 0.214003, 0.996266, 0.007898, 0.144225, 0.001882]
    np.testing.assert_allclose(np.ravel(masks)[:6], literal, atol=2e-5)


def test_transposed_convolution():
    """Zeros between the pixels, then a convolution; the kernel is not flipped."""
    x, layer = draw(0, 2, 3, 5, 2), TransposedConv(3)
    params = params_of(layer, x)
    expected = lax.conv_transpose(x, params["kernel"], (2, 2), "SAME") + params["bias"].reshape(
        1, 1, 1, -1
    )
    actual = jax.jit(layer.apply)({"params": params}, x)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert actual.shape == (2, 6, 10, 3)


def test_number_of_parameters():
    """The published small model, worked out from its layers.

    The original also stores its grids of positions, 64·64·2 and 8·8·2 numbers that nothing moves.
    """
    config = SaviConfig(start="learned", num_slots=11)
    params = jax.eval_shape(config.build((64, 64, 3)).init, jax.random.key(0))
    linear = lambda inputs, outputs: inputs * outputs + outputs  # noqa: E731
    conv = lambda inputs, outputs: linear(25 * inputs, outputs)  # noqa: E731
    norm = lambda features: 2 * features  # noqa: E731
    encoder = conv(3, 32) + 3 * conv(32, 32) + linear(2, 32)
    encoder += norm(32) + linear(32, 64) + linear(64, 32)
    # Queries, keys and values have no bias; of a GRU's six products those of the state have one
    # only in the candidate.
    gru = 3 * linear(128, 128) + 2 * 128 * 128 + linear(128, 128)
    corrector = norm(32) + norm(128) + 128 * 128 + 2 * 32 * 128 + gru
    predictor = 4 * linear(128, 128) + 2 * norm(128) + linear(128, 256) + linear(256, 128)
    decoder = linear(2, 128) + conv(128, 64) + 3 * conv(64, 64) + linear(64, 3) + linear(64, 1)
    parts = {name: count(tree) for name, tree in params.items()}
    expected = {"encoder": encoder, "corrector": corrector, "predictor": predictor}
    assert parts == {**expected, "decoder": decoder, "start": 11 * 128}
    assert (encoder, corrector, predictor, decoder) == (83_680, 123_712, 132_480, 512_900)
    # What is published starts from boxes.
    published = dataclasses.replace(config, start="boxes").build((64, 64, 3))
    params = jax.eval_shape(published.init, jax.random.key(0))
    assert count(params["start"]) == linear(4, 256) + linear(256, 128) == 34_176
    assert count(params) == 886_948


def test_slots_from_places():
    boxes = np.random.default_rng(4).random((B, K - 1, 4)).astype(np.float32)
    places = np.concatenate([np.zeros((B, 1, 4), np.float32), boxes], axis=1)
    module = CuedSlots(S, 6, center=False)
    params = params_of(module, places)
    result = np.asarray(module.apply({"params": params}, places))
    literal = [-0.488060, 0.094386, -0.028543, 0.277142, -0.003662, 0.049096]
    np.testing.assert_allclose(result.ravel()[:6], literal, atol=2e-6)
    assert result.sum() == pytest.approx(3.982238, abs=1e-4)
    module = CuedSlots(S, 6, center=True)
    params = params_of(module, places)
    middle = (places[..., :2] + places[..., 2:]) / 2
    expected = dense(relu(dense(middle, params["hidden"])), params["slots"])
    np.testing.assert_allclose(module.apply({"params": params}, places), expected, atol=1e-5)


def test_boxes_and_centers():
    objects = np.zeros((2, 4, 8), np.uint8)
    objects[0, 1:3, 2:4] = 1
    objects[0, 3, 7] = 2
    objects[1, :, :4] = 2
    objects[1, 0, 5] = 3  # without a slot
    found = boxes(objects, num_slots=3)
    none = [0.0] * 4
    expected = [
        [none, [1 / 4, 2 / 8, 3 / 4, 4 / 8], [3 / 4, 7 / 8, 1, 1]],
        [none, none, [0, 0, 1, 1 / 2]],
    ]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(centers(found)[0], [[0, 0], [1 / 2, 3 / 8], [7 / 8, 15 / 16]])
    # A mask of one object in pieces has the box of all of them.
    objects[1, 3, 7] = 2
    np.testing.assert_allclose(boxes(objects, num_slots=3)[1, 2], [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slot_size": 6}, r"slot_size must be a multiple of heads = 4, got 6"),
        ({"kernel_size": 4}, r"kernel_size must be odd, got 4"),
        ({"doublings": 5}, r"doublings must lie in 0 … 4"),
        ({"encoder_strides": (2,)}, r"one for each of 4 convolutions, got \(2,\)"),
        ({"decoder_features": ()}, r"decoder_features: expected sizes from 1 on, got \(\)"),
        ({"iterations": 0}, r"iterations must be at least 1, got 0"),
        ({"corrector_mlp": -1}, r"corrector_mlp must not be negative, got -1"),
    ],
)
def test_fields_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SaviConfig(), **changes)


def test_images_must_be_halved_evenly():
    with pytest.raises(ValueError, match=r"doublings: 3 of them .* multiples of 8, got 36×32"):
        SaviConfig().build((36, 32, 3))
