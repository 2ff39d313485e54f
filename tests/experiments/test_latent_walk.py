"""Latent walks: their relations to the reconstruction, and the linear scores by hand."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from experiments.disentanglement import linear_r2, matched_slots, samples
from experiments.latent_walk import OFFSETS, choose_walks, measure, walk
from stiid.models.base import Decoding, Latents
from stiid.training.restore import restore


@pytest.fixture(scope="module")
def decomposed(data_dir):
    """A tiny model with fresh parameters, and a clip that it has decomposed."""
    experiment = tiny.experiment(data_dir)
    system = experiment.model.build((8, 8, 3))
    video = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8, 3), np.uint8)
    keys = jax.random.split(jax.random.key(1), 1)
    decoding = Decoding(num_slots=3)
    with tiny.quick_compilation():
        params = jax.jit(system.init)(jax.random.key(0))
        decompose = jax.jit(lambda p, v, k: system.decompose(p, v, k, decoding))
        return system, params, decompose(params, video, keys)


@pytest.mark.slow
def test_latents_decode_to_the_decomposition(decomposed):
    system, params, result = decomposed
    decode = jax.jit(system.decode)
    again = decode(params, result.latents)
    for name in ("reconstruction", "masks", "means"):
        np.testing.assert_allclose(getattr(again, name), getattr(result, name), atol=1e-5)
    assert np.isnan(again.kl).all()
    # The temporal hidden state counts: without it frames after the first look different.
    other = decode(params, result.latents._replace(h=jnp.zeros_like(result.latents.h)))
    assert np.abs(other.masks - result.masks)[:, 1:].max() > 1e-3


def test_a_walk_starts_from_the_reconstruction(decomposed):
    system, params, result = decomposed
    latents = Latents(*(x[:, -1:] for x in result.latents))
    images = walk(system, params, latents, 1, 2, np.array([-1.0, 0.0, 1.0]))
    assert images.shape == (3, 8, 8, 3)
    np.testing.assert_allclose(images[1], result.reconstruction[0, -1], atol=1e-5)
    assert min(np.abs(images[i] - images[1]).max() for i in (0, 2)) > 1e-4


def test_walks_of_a_model_are_compiled_once():
    model = Weighted()
    latents = Latents(jnp.zeros((1, 1, 3, 4)), jnp.zeros((1, 1, 3, 1)))
    for slot, dimension in ((0, 1), (1, 0), (2, 3)):
        image = walk(model, None, latents, slot, dimension, np.array([-1.0, 1.0]))
        np.testing.assert_allclose(
            image.ravel(), model.weights[slot, dimension] * np.array([-1, 1])
        )
    assert model.decoded == 1


class Decoded(NamedTuple):
    reconstruction: jax.Array


class Weighted:
    """A model whose image is one pixel: Σ_kd w_kd z_kd."""

    weights = np.array([[9.0, 9.0, 9.0, 9.0], [0.0, 3.0, 1.0, 2.0], [4.0, 0.0, 5.0, 6.0]])

    decoded = 0  # how often it was traced

    def decode(self, params, latents):
        self.decoded += 1
        pixel = (latents.z * self.weights[None, None]).sum((2, 3))
        return Decoded(pixel[..., None, None, None])


def test_the_dimensions_with_the_largest_effect_are_chosen():
    """By hand: an effect is (2 · 3 σ w)²; slot 0 is the background; σ of the last is 2."""
    latents = Latents(jnp.zeros((1, 1, 3, 4)), jnp.zeros((1, 1, 3, 1)))
    spread = np.array([1.0, 1.0, 1.0, 2.0])
    chosen = choose_walks(Weighted(), None, latents, spread, np.array([50, 7, 8]))
    assert [(slot, dimension) for slot, dimension, _ in chosen] == [
        (2, 3),
        (2, 2),
        (2, 0),
        (1, 3),
        (1, 1),
        (1, 2),
    ]
    assert chosen[0][2] == pytest.approx((2 * 3 * 2 * 6) ** 2)
    assert OFFSETS[-1] == 3


def test_linear_scores():
    """A line is found again (1); noise that the line cannot know costs its share of variance."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 3))
    held_out = np.arange(4000) % 2 == 1
    line = z @ np.array([[1.0], [2.0], [2.0]]) + 5.0  # variance 9
    assert linear_r2(z, line, held_out) == pytest.approx(1.0)
    noisy = line + 3.0 * rng.normal(size=line.shape)  # variance 9 + 9
    assert linear_r2(z, noisy, held_out) == pytest.approx(0.5, abs=0.05)
    assert linear_r2(z, rng.normal(size=line.shape), held_out) == pytest.approx(0.0, abs=0.02)
    constant = np.full_like(line, 7.0)
    assert linear_r2(z, constant, held_out) is None
    assert linear_r2(z, np.concatenate([line, constant], 1), held_out) == pytest.approx(1.0)


CLIP = {
    "n_objects": 2,
    "masks": np.array([[[1, 1, 2, 0]], [[1, 2, 2, 0]]]),
    "positions": np.arange(8.0).reshape(2, 2, 2),
    "colors": np.array([[9], [8], [0]]),
    "radii": np.array([1.5, 2.5, 0.0]),
}


def test_each_object_gets_its_slot():
    slots = np.array([[[2, 2, 0, 1]], [[2, 0, 0, 1]]])
    assert matched_slots(slots, CLIP["masks"], num_slots=3, count=2).tolist() == [2, 0]
    z = np.arange(6.0).reshape(2, 3, 1)  # frame t, slot k: 3 t + k
    ours = samples(CLIP, z, slots)
    assert ours["z"].tolist() == [[2], [0], [5], [3]]
    assert ours["position"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert ours["color"].tolist() == [[9], [8], [9], [8]]
    assert ours["size"].tolist() == [[1.5], [2.5], [1.5], [2.5]]


def test_objects_that_would_share_slots_are_refused():
    with pytest.raises(ValueError, match=r"at least 2 slots, .* got 1: set evaluate\.num_slots"):
        samples(CLIP, np.zeros((2, 1, 4)), np.zeros((2, 1, 4), int))


def test_the_file_of_a_measurement(trained, data_dir, tmp_path):
    experiment = tiny.experiment(data_dir)
    with tiny.quick_compilation():
        experiment, state, source, system = restore(experiment, trained, "latest")
        content = measure(experiment, system, source, state.params, tmp_path)
    walks = content["walks"]
    assert 0 < len(walks) <= 9
    assert set(content["r2"]) == {"position", "color", "size"}
    assert all(-10 < value <= 1 for value in content["r2"].values())
    with np.load(tmp_path / "walk.npz") as file:
        assert file["images"].shape == (len(walks), len(OFFSETS), 8, 8, 3)
        middle = file["images"][:, len(OFFSETS) // 2]
        for image in middle:
            np.testing.assert_allclose(image, file["reconstruction"], atol=1e-4)
