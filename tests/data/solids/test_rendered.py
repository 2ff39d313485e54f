"""Clips of the rendered substitute, and their storage."""

import dataclasses

import numpy as np
import pytest

from stiid.data import registry
from stiid.data.solids.clips import RenderedSpec, clips, make_clip, make_motion
from stiid.data.solids.scene import SceneLaw

SMALL = {"height": 16, "width": 20, "frames": 4, "train": 18, "validation": 3, "test": 0}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.mark.slow
def test_clips_do_not_depend_on_the_number_of_processes():
    spec = RenderedSpec(**SMALL)
    alone = list(clips(spec, "train"))
    together = list(clips(spec, "train", processes=2))
    assert len(together) == 18
    for first, second in zip(alone, together, strict=True):
        assert_same(first, second)
    assert_same(alone[9], next(clips(spec, "train", start=9)))
    assert_same(alone[9], make_clip(spec, "train", 9))


def test_seed_split_and_index_decide_the_clip():
    def starts(split="train", **options):
        spec = RenderedSpec(**{**SMALL, **options})
        return [clip["locations"].tobytes() for clip in clips(spec, split, stop=5)]

    every = starts() + starts(seed=1) + starts("validation") + starts("test")
    assert len(set(every)) == 20
    assert starts() == starts(height=8, crop=(), train=21)


def test_every_clip_has_a_collision():
    spec = SceneLaw()
    for index in range(10):
        _, motion = make_motion(spec, "validation", index, frames=40, seed=3)
        assert motion.collisions
    alone, motion = make_motion(SceneLaw(num_objects=1), "train", 0, frames=40, seed=3)
    assert len(alone.shapes) == 1
    assert not motion.collisions


def test_objects_enter():
    spec = RenderedSpec(height=32, width=32)
    entered = sum(
        (np.diff(clip["visible"].astype(int), axis=0) > 0).sum()
        for clip in clips(spec, "train", stop=8)
    )
    assert entered >= 8


def test_elements_are_padded():
    made = clips(RenderedSpec(**SMALL, num_objects=(2, 7)), "train")
    clip = next(clip for clip in made if clip["n_objects"] == 2)
    for name in ("positions", "visible", "locations", "velocities"):
        assert clip[name].shape[:2] == (4, 7)
        assert not clip[name][:, 2:].any()
        assert clip[name][:, :2].any()
    for name in ("shapes", "materials", "colors"):
        assert clip[name].shape == (7,)


def test_every_parameter_changes_the_name():
    changed = {
        "num_objects": (3,),
        "size": 0.25,
        "height": 63,
        "width": 63,
        "crop": (),
        "frames": 41,
        "train": 1,
        "validation": 1,
        "test": 1,
        "seed": 1,
    }
    assert changed.keys() == {field.name for field in dataclasses.fields(RenderedSpec)}
    names = {RenderedSpec(**{name: value}).name for name, value in changed.items()}
    assert len(names | {RenderedSpec().name}) == len(changed) + 1
    # A changed name orphans the data sets on users' disks.
    assert RenderedSpec().name == "3-4-5-6objects_64x64_40f_6f6640831eff"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_objects": ()}, "num_objects"),
        ({"num_objects": (0, 3)}, "num_objects"),
        ({"num_objects": 11}, "num_objects"),
        ({"size": 0.5}, "size"),
        ({"crop": (100, 0, 400, 320)}, "crop"),
        ({"height": 0}, "height"),
        ({"frames": 0}, "frames"),
        ({"seed": -1}, "seed"),
        ({"train": 0, "validation": 0, "test": 0}, "must not be negative nor all be 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        RenderedSpec(**options)


def test_stored_clips_equal_rendered_clips(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("stiid.data.stored._SHARD_BYTES", 7 * 4 * 16 * 20 * 4)
    monkeypatch.setattr("stiid.data.solids.rendered.available_cores", lambda: 1)
    source = registry.load("rendered", "train", data_dir=str(tmp_path), **SMALL)
    assert "21/21" in capfd.readouterr().err
    target = tmp_path / "rendered" / RenderedSpec(**SMALL).name / "1.0.0"
    assert len(list(target.glob("*train.array_record*"))) == 3
    assert len(source) == 18
    for index, clip in enumerate(clips(RenderedSpec(**SMALL), "train")):
        assert_same(source[index], clip)
    with pytest.raises(ValueError, match=r"\('train', 'validation'\)"):
        registry.load("rendered", "test", data_dir=str(tmp_path), **SMALL)


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        yield next(clips(*args, **kwargs))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("stiid.data.solids.rendered.clips", interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.load("rendered", "train", data_dir=str(tmp_path), **SMALL)
    assert not list((tmp_path / "rendered" / RenderedSpec(**SMALL).name).iterdir())
