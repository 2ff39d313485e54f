"""Scenes in the layout of CLEVRER's archives, read back by the loader and by plain libraries."""

import json

import av
import numpy as np
import pytest
import tiny
from scenes import WHOLE

from stiid.cli import data as command
from stiid.data.clevrer import camera
from stiid.data.clevrer.annotations import parse_annotation
from stiid.data.clevrer.masks import ray_cast
from stiid.data.clevrer.proposals import parse_proposals
from stiid.data.solids import writer
from stiid.data.solids.clips import RenderedSpec, make_motion
from stiid.data.solids.physics import simulate
from stiid.data.solids.scene import COLORS, MATERIALS, SHAPES, Scene, SceneLaw
from stiid.data.solids.shading import CENTER, render
from stiid.data.solids.writer import (
    ClevrerLayout,
    annotate,
    propose,
    write_clevrer,
)
from stiid.data.view import View

LAYOUT = ClevrerLayout(num_objects=(3, 4), train=1, validation=1, test=1, seed=4, proposals=1)
FILES = [
    "annotation_00000-01000/annotation_00000.json",
    "annotation_10000-11000/annotation_10000.json",
    "derender_proposals/proposal_00000.json",
    "derender_proposals/proposal_10000.json",
    "derender_proposals/proposal_15000.json",
    "video_00000-01000/video_00000.mp4",
    "video_10000-11000/video_10000.mp4",
    "video_15000-16000/video_15000.mp4",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "clevrer"
    write_clevrer(path, LAYOUT)
    return path


@pytest.fixture(scope="module")
def drawn():
    """The first training video: scene, motion, images and masks."""
    scene, motion = make_motion(LAYOUT, "train", 0, frames=128, seed=4)
    return scene, motion, *render(scene, motion, WHOLE, CENTER)


# --- the files ----------------------------------------------------------------------------------


def test_the_layout(folder):
    assert list(tiny.contents(folder)) == FILES
    assert sorted(path.name for path in folder.parent.iterdir()) == [".clevrer.lock", "clevrer"]


def test_videos_are_what_was_rendered(folder, drawn):
    with av.open(str(folder / "video_00000-01000" / "video_00000.mp4")) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 25
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert frames.shape == (128, 320, 480, 3)
    difference = np.abs(frames.astype(int) - drawn[2])
    assert difference.mean() < 2


def test_annotations_have_the_official_keys(folder, drawn):
    scene, motion, _, _ = drawn
    annotation = json.loads((folder / FILES[0]).read_text())
    assert annotation.keys() == {
        "scene_index",
        "video_filename",
        "object_property",
        "motion_trajectory",
        "collision",
    }
    assert annotation["scene_index"] == 0
    assert annotation["video_filename"] == "video_00000.mp4"
    assert json.loads((folder / FILES[1]).read_text())["scene_index"] == 10_000
    count = len(scene.shapes)
    for k, item in enumerate(annotation["object_property"]):
        assert item == {
            "object_id": k,
            "color": COLORS[scene.colors[k]],
            "material": MATERIALS[scene.materials[k]],
            "shape": SHAPES[scene.shapes[k]],
        }
    assert [frame["frame_id"] for frame in annotation["motion_trajectory"]] == list(range(128))
    for t, frame in enumerate(annotation["motion_trajectory"]):
        assert [item["object_id"] for item in frame["objects"]] == list(range(count))
        for k, item in enumerate(frame["objects"]):
            assert item.keys() == {
                "object_id",
                "location",
                "orientation",
                "velocity",
                "angular_velocity",
                "inside_camera_view",
            }
            np.testing.assert_allclose(item["location"], motion.locations[t, k], atol=1e-6)
            np.testing.assert_allclose(item["velocity"], motion.velocities[t, k], atol=1e-6)
            np.testing.assert_allclose(item["angular_velocity"], motion.spins[t, k], atol=1e-6)
            column, row = camera.project(motion.locations[t, k])
            assert item["inside_camera_view"] == (0 < column < 480 and 0 < row < 320)
    inside = [item["inside_camera_view"] for f in annotation["motion_trajectory"]
              for item in f["objects"]]  # fmt: skip
    assert set(inside) == {True, False}
    assert annotation["collision"]
    for item in annotation["collision"]:
        assert item.keys() == {"object_ids", "frame_id", "location"}
        first, second = item["object_ids"]
        assert 0 <= first < second < count
        gap = motion.locations[item["frame_id"], [first, second]] - item["location"]
        assert (np.linalg.norm(gap, axis=-1) < 0.4).all()


def test_proposals_are_the_true_masks(folder, drawn):
    scene, _, _, masks = drawn
    content = json.loads((folder / "derender_proposals/proposal_00000.json").read_text())
    assert content["video_name"] == "video_00000.mp4"
    names = parse_annotation((folder / FILES[0]).read_bytes(), "annotation").names
    proposals = parse_proposals(json.dumps(content).encode(), "proposals")
    for t in range(0, 128, 4):
        np.testing.assert_array_equal(proposals.ids(t, names), masks[t])
    assert len(scene.shapes) == len(names)


def test_hidden_objects_are_not_proposed(drawn):
    scene, _, _, masks = drawn
    frames = propose(scene, masks[:1] * (masks[:1] == 1), 7)["frames"]
    assert [item["color"] for item in frames[0]["objects"]] == [COLORS[scene.colors[0]]]


# --- the loader's masks -------------------------------------------------------------------------


def agreement(scene, motion, view=WHOLE):
    """Share of pixels in which the loader's masks of an annotation equal the renderer's."""
    text = json.dumps(annotate(scene, motion, 0)).encode()
    annotation = parse_annotation(text, "annotation")
    left, top, right, bottom = view.window(320, 480)
    masks = ray_cast(
        [name[2] for name in annotation.names],
        annotation.locations,
        annotation.orientations,
        rows=top + (np.arange(view.height) + 0.5) * (bottom - top) / view.height,
        columns=left + (np.arange(view.width) + 0.5) * (right - left) / view.width,
    )
    _, ids = render(scene, motion, view, CENTER)
    assert len(np.unique(ids)) == len(scene.shapes) + 1
    return (masks == ids).mean()


@pytest.mark.parametrize("index", range(2))
def test_the_loaders_masks_equal_the_renderers(index):
    scene, motion = make_motion(SceneLaw(num_objects=(6,)), "train", index, frames=128, seed=0)
    assert agreement(scene, motion, RenderedSpec().view) > 0.9999


def test_the_loaders_masks_equal_the_renderers_of_tumbling_objects():
    rng = np.random.default_rng(1)
    count = 6
    scene = Scene(
        size=0.2,
        shapes=np.arange(count) % 3,
        materials=np.arange(count) % 2,
        colors=np.arange(count),
        locations=np.array([(-1 + x, -1 + y, 1) for x in (0, 1) for y in (0, 1, 2)], float),
        rotations=np.tile(np.eye(3), (count, 1, 1)),
        velocities=rng.normal(size=(count, 3)),
        spins=rng.normal(size=(count, 3)) * 8,
    )
    motion = simulate(scene, frames=128)
    assert (motion.rotations[:, scene.shapes < 2, 2, 2].min(0) < 0.7).all()
    view = View(height=160, width=240, channels=3)
    assert agreement(scene, motion, view) > 0.9999
    # The masks tell: with the angles taken about the axes in the other order they differ.
    swapped = motion._replace(rotations=motion.rotations.swapaxes(-1, -2))
    _, masks = render(scene, motion, view, CENTER)
    _, others = render(scene, swapped, view, CENTER)
    assert (masks == others).mean() < 0.9995


# --- all or nothing -----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Images that cost nothing."""

    def draw(scene, motion, view, samples):
        shape = (len(motion.locations), 16, 16)
        return np.zeros((*shape, 3), np.uint8), np.ones(shape, np.uint8)

    monkeypatch.setattr(writer, "render", draw)


@pytest.mark.slow
def test_processes_do_not_change_the_files(folder, tmp_path):
    write_clevrer(tmp_path / "again", LAYOUT, processes=2)
    assert tiny.contents(tmp_path / "again") == tiny.contents(folder)


def test_an_interrupted_export_goes_on(tmp_path, monkeypatch, quick):
    write_clevrer(tmp_path / "whole", LAYOUT)
    write, written = writer.write_mp4, []

    def interrupted(path, frames, *, fps):
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(path, frames, fps=fps)

    monkeypatch.setattr(writer, "write_mp4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_clevrer(tmp_path / "clevrer", LAYOUT)
    assert not (tmp_path / "clevrer").exists()
    (partial,) = tmp_path.glob(".clevrer.*.partial")
    (partial / "derender_proposals" / ".proposal_15000.123.tmp.json").write_text("left by a kill")
    write_clevrer(tmp_path / "clevrer", LAYOUT)
    assert written == [f"video_{n:05d}.mp4" for n in (0, 10_000, 10_000, 15_000)]
    assert tiny.contents(tmp_path / "clevrer") == tiny.contents(tmp_path / "whole")
    assert not list(tmp_path.glob(".clevrer.*.partial"))


def test_other_options_do_not_go_on_with_these(tmp_path, monkeypatch, quick):
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_mp4", None)
        with pytest.raises(TypeError):
            write_clevrer(tmp_path / "clevrer", LAYOUT)
    write_clevrer(tmp_path / "clevrer", ClevrerLayout(train=1, validation=0, seed=9))
    assert list(tiny.contents(tmp_path / "clevrer")) == [FILES[0], FILES[5]]


def test_a_folder_is_not_overwritten(folder):
    before = tiny.contents(folder)
    with pytest.raises(FileExistsError, match="remove it, or choose another folder"):
        write_clevrer(folder, ClevrerLayout(train=1))
    assert tiny.contents(folder) == before


def test_the_command(tmp_path, capsys, quick):
    arguments = ["render", "--processes", "1", str(tmp_path / "out"), "train=1", "validation=0"]
    assert command.main(arguments) == 0
    assert f"wrote {tmp_path / 'out'}" in capsys.readouterr().out
    assert list(tiny.contents(tmp_path / "out")) == [FILES[0], FILES[5]]
    assert command.main(arguments) == 1
    assert "error: " in capsys.readouterr().err
    assert command.main([*arguments, "nonsense=1"]) == 1
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 10_001}, "train must be between 0 and 10000"),
        ({"test": -1}, "test must be between 0 and 5000"),
        ({"seed": -1}, "seed must not be negative"),
        ({"proposals": 2}, "proposals be 0 or 1"),
        ({"size": 0.3}, "size must be 0.2"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ClevrerLayout(**options)
