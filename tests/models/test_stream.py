"""A video frame by frame. Oracle: inference of the whole video at once."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from stiid.method.inference import infer_video
from stiid.models.base import Decoding, StreamingModel
from stiid.models.spatiotemporal.model import SpatioTemporal
from stiid.models.spatiotemporal.restarts import sample_noise

pytestmark = pytest.mark.slow  # compiles whole decompositions

SHAPE = (8, 8, 3)
FRAMES, SLOTS, REFINEMENTS = 4, 4, 2


def make(tmp_path, **inference):
    """The tiny system with R = 2, random parameters, and a video."""
    changes = {f"model__inference__{name}": value for name, value in inference.items()}
    experiment = tiny.experiment(tmp_path, model__inference__init_scale=2.0, **changes)
    system = experiment.model.build(SHAPE)
    params = jax.jit(system.init)(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (FRAMES, *SHAPE), dtype=np.uint8)
    return system, params, video


def stream(case, frames=None, **options):
    """The streamed decompositions of all frames, joined along T."""
    system, params, video = case
    decoding = Decoding(num_slots=SLOTS, **options)
    with tiny.quick_compilation():
        parts = list(system.stream(params, video if frames is None else frames, KEY, decoding))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)


KEY = jax.random.key(5)


def later_key(t):
    """Of frame t > 0; ``fold_in(KEY, 1)`` is that of the further noise samples for frame 0."""
    return jax.random.fold_in(jax.random.fold_in(KEY, 2), t)


def assert_same(ours, theirs):
    assert ours.positions is None
    assert theirs.positions is None
    for name in set(ours._fields) - {"positions", "latents"}:
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=name)
    for a, b in zip(ours.latents, theirs.latents, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("inference", "restarts", "judges"),
    [
        ({"refinements": REFINEMENTS}, 1, 1),
        ({"refinements": REFINEMENTS}, 3, 1),
        ({"refinements": REFINEMENTS}, 3, 3),
        ({"refinements": REFINEMENTS}, 3, FRAMES + 1),
        ({"refinements": REFINEMENTS, "grid": "full"}, 1, 1),
        ({"refinements": 1, "posterior_start": "prior"}, 1, 2),
    ],
)
def test_it_equals_the_decomposition_of_the_whole_video(tmp_path, inference, restarts, judges):
    case = make(tmp_path, **inference)
    system, params, video = case
    samples = {"restarts": restarts, "restart_frames": judges}
    decoding = Decoding(num_slots=SLOTS, **samples)
    with tiny.quick_compilation():
        whole = jax.jit(lambda p, v: system.decompose(p, v, KEY[None], decoding))(
            params, video[None]
        )
    ours = stream(case, **samples)
    assert_same(ours, whole)
    assert ours.masks.shape == (1, FRAMES, SLOTS, 8, 8)
    # Frames differ, and the past counts: the last frame alone gives something else.
    alone = stream(case, frames=video[-1:], **samples)
    assert np.abs(alone.masks[:, 0] - ours.masks[:, -1]).max() > 1e-2


def test_sampling_in_every_frame_equals_infer_video_with_the_same_noise(tmp_path):
    case = make(tmp_path, refinements=REFINEMENTS)
    system, params, video = case
    keys = [KEY, *map(later_key, range(1, FRAMES))]
    noise = [
        sample_noise(system.model, key[None], num_frames=1, num_slots=SLOTS)[0] for key in keys
    ]
    with tiny.quick_compilation():
        whole = jax.jit(lambda *inputs: infer_video(system.model, *inputs, system.objective.elbo))(
            params, jnp.asarray(video[None], jnp.float32) / 255, jnp.stack(noise)
        )
    ours = stream(case, noise="all")
    np.testing.assert_allclose(
        ours.masks[0], np.asarray(whole.frames.masks)[:, 0], rtol=2e-4, atol=2e-4
    )
    assert np.abs(ours.masks - stream(case).masks).max() > 1e-2


def test_a_model_without_memory_samples_in_every_frame(tmp_path):
    """Each frame is the stream of that frame alone, with the key of its number."""
    iodine = {"time_axis": "none", "grid": "full", "conditional_prior": False, "generation": False}
    case = make(tmp_path, refinements=REFINEMENTS, **iodine)
    system, params, video = case
    ours = stream(case, frames=video[:2], restarts=2)
    decoding = Decoding(num_slots=SLOTS, restarts=2)
    with tiny.quick_compilation():
        (alone,) = system.stream(params, video[1:2], later_key(1), decoding)
    for name in ("masks", "means", "kl"):
        np.testing.assert_allclose(
            getattr(ours, name)[:, 1:], getattr(alone, name), rtol=2e-4, atol=2e-4
        )
    assert np.ptp(ours.means[0, 1], axis=0).max() > 1e-3  # slots have broken their symmetry


@pytest.mark.parametrize(
    ("samples", "ahead"),
    [({"restarts": 1, "restart_frames": 3}, 1), ({"restarts": 2, "restart_frames": 3}, 3)],
)
def test_no_more_frames_are_taken_than_needed(tmp_path, samples, ahead):
    """An endless video: frames are taken one by one, but for those that judge noise samples."""
    system, params, video = make(tmp_path, refinements=1)
    taken = []

    def endless():
        for t in itertools.count():
            taken.append(t)
            yield video[t % FRAMES]

    decoding = Decoding(num_slots=SLOTS, **samples)
    with tiny.quick_compilation():
        results = system.stream(params, endless(), KEY, decoding)
        for t in range(20):
            next(results)
            assert len(taken) == max(t + 1, ahead)


def test_operations_between_programs_compile_none_of_their_own(tmp_path):
    case = make(tmp_path, refinements=1)
    jax.clear_caches()
    with tiny.compiled_programs() as names:
        stream(case)
    assert sorted(names) == ["_first_frame", "_first_noise", "_step"]


def test_families_that_cannot_stream_are_told_apart():
    assert isinstance(SpatioTemporal(None, None, 3), StreamingModel)
    assert not isinstance(dataclasses.make_dataclass("Other", ["model"])(None), StreamingModel)
