"""The parts of a decomposition on disk: memory, palettes, places and overlays, by hand."""

import csv
import gc
import json
import weakref

import numpy as np
import pytest
from PIL import Image

from stiid.cli.decompose import target
from stiid.data.video.frames import VideoInfo
from stiid.data.video.video_file import VideoFile
from stiid.data.view import View
from stiid.outputs import decomposition
from stiid.outputs.decomposition import (
    SlotFrame,
    Written,
    open_decomposition,
    write_decomposition,
)
from stiid.outputs.overlay import overlay, overlay_on_original
from stiid.outputs.palette import PALETTE
from stiid.outputs.trails import Trails
from stiid.outputs.trajectories import SlotPlace, background_slot, slot_kinds, slot_places


def test_memory_does_not_grow_with_the_video(tmp_path):
    """Of 60 frames no more than the sheet's are alive, and the sheet spreads over all of them."""

    class Watched(np.ndarray):
        """An array that can be watched."""

    alive = weakref.WeakSet()
    rng = np.random.default_rng(0)
    places = {"origin": np.zeros(2), "scale": np.ones(2), "background": 0}
    with open_decomposition(tmp_path, fps=25, **places) as append:
        for t in range(60):
            masks = rng.dirichlet(np.ones(2), (4, 4)).transpose(2, 0, 1)
            pixels = np.zeros((4, 4, 3), np.uint8).view(Watched)
            alive.add(_Watch.of(pixels))
            append(SlotFrame(t, pixels, np.zeros((4, 4, 3)), masks, np.zeros((2, 4, 4, 3))), None)
            del pixels
            gc.collect(0)
            assert len(alive) <= 22
    assert len(np.load(tmp_path / "masks.npz")["slots"]) == 60


def test_palettes_have_room_for_every_slot(tmp_path):
    """More slots than the palette has colors."""
    slots = np.arange(40, dtype=np.uint8).reshape(5, 8)
    masks = np.eye(40)[slots].transpose(2, 0, 1)
    pixels = np.zeros((5, 8, 3))
    places = {"origin": np.zeros(2), "scale": np.ones(2), "background": 0}
    with open_decomposition(tmp_path, fps=5.0, **places) as append:
        means = np.zeros((40, 5, 8, 3))
        append(SlotFrame(0, pixels.astype(np.uint8), pixels, masks, means), None)
    with Image.open(tmp_path / "masks" / "000000.png") as image:
        np.testing.assert_array_equal(np.asarray(image), slots)


def test_another_input_or_model_of_the_same_name_is_refused(tmp_path):
    first, second = (tmp_path / folder / "own.mp4" for folder in ("a", "b"))
    folder = target(tmp_path, first, "model")
    assert folder == tmp_path / "decompose" / "own"
    folder.mkdir(parents=True)
    (folder / "info.json").write_text(json.dumps({"input": str(first), "checkpoint": "model"}))
    assert target(tmp_path, first, "model") == folder
    with pytest.raises(
        ValueError, match=r"holds the decomposition of the video .*/a/own\.mp4, not"
    ):
        target(tmp_path, second, "model")
    with pytest.raises(ValueError, match=r"holds the decomposition by the model model, not other:"):
        target(tmp_path, first, "other")
    (folder / "info.json").write_text(json.dumps({"input": str(first)}))  # of an older version
    assert target(tmp_path, first, "other") == folder
    for content in ('{"input": "/a', "{}", "[]"):
        (folder / "info.json").write_text(content)
        with pytest.raises(ValueError, match=r"info\.json is damaged .*: move .*own away"):
            target(tmp_path, first, "model")


class _Watch:
    """Lives as long as the array that holds it."""

    @classmethod
    def of(cls, array):
        array.watch = cls()
        return array.watch


def test_places_by_hand():
    slots = np.zeros((4, 6), int)
    slots[1:3, 2:5] = 1
    places = slot_places(slots, num_slots=3, origin=np.array([10.0, 20]), scale=np.array([2.0, 3]))
    assert places[1] == (36, 10 + 2 * 3.5, 20 + 3 * 2, 14, 23, 20, 29)
    assert places[0].area == (24 - 6) * 6
    slots[0, 0] = 1  # a stray pixel moves the middle a little, and the box not at all
    stray = slot_places(slots, num_slots=3, origin=np.array([10.0, 20]), scale=np.array([2.0, 3]))
    assert stray[1][3:] == places[1][3:]
    assert stray[1].area == 36 + 6
    assert places[2].area == 0
    assert np.isnan(places[2][1:]).all()


def test_kinds_by_hand():
    """The border decides, not the area: the object in the middle is the larger one."""
    slots = np.full((8, 8), 2)
    slots[1:7, 1:7] = 0
    slots[0, :3] = 3
    assert background_slot(slots[None]) == 2
    kinds = ["object", "empty", "background", "object"]
    assert slot_kinds(slots, num_slots=4, background=2) == kinds
    line = np.zeros((1, 3), int)
    assert background_slot(line[None]) == 0
    assert slot_kinds(line, num_slots=2, background=0) == ["background", "empty"]
    assert slot_kinds(line, num_slots=2, background=1) == ["object", "empty"]


def shared_background():
    """Slots [3, 8, 8]: slots 0 and 1 share the background, and 1 has more in the middle frame.

    Slot 2 is an object.
    """
    slots = np.zeros((3, 8, 8), int)
    slots[:, :, 5:] = 1
    slots[1, :, 2:] = 1
    slots[:, 3:5, 3:5] = 2
    return slots


def test_the_background_is_chosen_once_for_a_clip():
    slots = shared_background()
    assert [background_slot(frame[None]) for frame in slots] == [0, 1, 0]
    assert background_slot(slots) == 0


@pytest.mark.parametrize("deciding", [50, 1], ids=["whole clip", "first frames"])
def test_files_tell_the_background_from_objects(tmp_path, monkeypatch, deciding):
    """In all frames, the overlay leaves the background's slot as it is, and the table names it."""
    monkeypatch.setattr(decomposition, "_DECIDING", deciding)
    slots, pixels = shared_background(), np.full((8, 8, 3), 200, np.uint8)
    frames = (
        SlotFrame(t, pixels, pixels / 255, masks, np.zeros((3, 8, 8, 3)))
        for t, masks in enumerate(np.eye(3)[slots].transpose(0, 3, 1, 2))
    )
    info, folder = VideoInfo(View(height=8, width=8, channels=3)), tmp_path / "d"
    assert write_decomposition(folder, frames, info=info, card={}) == Written(3, 1.0, 0)
    assert json.loads((folder / "info.json").read_text())["background"] == 0
    with (folder / "trajectories.csv").open() as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert kinds == ["background", "object", "object"] * 3
    for shown in VideoFile(folder / "overlay.mp4").frames():
        shown = shown.astype(int)
        assert np.abs(shown[:, :72] - 200).max() < 20  # slot 0: pixels 0 and 1 of 8, of 48 each
        assert np.abs(shown[180:200, 180:200] - 200).max() > 50
        assert np.abs(shown[300:, 300:] - 200).max() > 50


def test_the_first_frames_decide_and_none_is_lost(tmp_path, monkeypatch):
    """Slot 1 takes over for good: it is then an object, rather than a background that flickers."""
    monkeypatch.setattr(decomposition, "_DECIDING", 2)
    slots = np.repeat([0, 0, 1, 1, 1], 16).reshape(5, 4, 4)
    pixels, means = np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3))
    frames = (
        SlotFrame(t, pixels, pixels / 255, masks, means)
        for t, masks in enumerate(np.eye(2)[slots].transpose(0, 3, 1, 2))
    )
    info = VideoInfo(View(height=4, width=4, channels=3))
    assert write_decomposition(tmp_path / "d", frames, info=info, card={}).background == 0
    np.testing.assert_array_equal(np.load(tmp_path / "d" / "masks.npz")["slots"], slots)
    with (tmp_path / "d" / "trajectories.csv").open() as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert kinds == ["background", "empty"] * 2 + ["empty", "object"] * 3


def test_overlay_by_hand():
    """45 % of the slot's color; the border in full color; a hidden id is left alone."""
    pixels = np.full((1, 6, 1), 100, np.uint8)
    ids = np.array([[0, 0, 0, 1, 1, 1]])
    expected = np.rint(0.55 * 100 + 0.45 * PALETTE[[0, 0, 0, 1, 1, 1]].astype(float))
    expected[2:4] = PALETTE[[0, 1]]
    np.testing.assert_array_equal(overlay(pixels, ids)[0], expected)
    expected[:3] = 100
    np.testing.assert_array_equal(overlay(pixels, ids, hidden=0)[0], expected)
    doubled = overlay(pixels, ids, scale=2, hidden=0)
    assert doubled.shape == (2, 12, 3)
    np.testing.assert_array_equal(doubled[0, 8:10], expected[[4, 4]])
    with pytest.raises(ValueError, match="same sizes"):
        overlay(pixels, ids[:, :5])


def trail(columns):
    """Where the trail of slot 1 is after it was at these columns, of 100; NaN: nowhere."""
    trails = Trails(hidden=0)
    for x in columns:
        places = [SlotPlace(1.0, y, y, *[0.0] * 4) for y in (x, x)]
        places = [place._replace(y=row) for place, row in zip(places, (2.5, 12.5), strict=True)]
        image = np.zeros((40, 200, 3), np.uint8)
        drawn = trails.draw(image, places, corner=np.array([0.0, 2.5]), factor=2.0)
    assert not drawn[:16].any()  # slot 0 is hidden
    return set((np.flatnonzero((drawn[20] == PALETTE[1]).all(-1)) // 2).tolist()), drawn


def test_trails_connect_the_last_twelve_centroids():
    line, drawn = trail([10.0, 20.0, 40.0])
    assert line == set(range(10, 41))
    assert (drawn[18, 22:78] == 255).all()  # a pale rim
    line, _ = trail(5.0 * np.arange(20))
    assert line == set(range(40, 96))
    line, _ = trail([10.0, 20.0, np.nan, 40.0, 50.0])
    assert line == {*range(10, 21), *range(40, 51)}
    assert trail([10.0])[0] == trail([np.nan, 10.0])[0] == set()


def test_the_overlay_has_the_pixels_and_the_aspect_ratio_of_the_original():
    """A letterbox of 2 × 4 pixels shown as 4 × 4: a pixel of the model is one of the original."""
    original = np.full((2, 4, 3), 200, np.uint8)
    slots = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    places = {"origin": np.array([0.0, -1.0]), "scale": np.ones(2)}
    drawn = overlay_on_original(original, slots, hidden=2, **places, side=8)
    assert drawn.shape == (4, 8, 3)
    np.testing.assert_array_equal(drawn[:, :3], overlay(original, slots[1:3], scale=2)[:, :3])
    np.testing.assert_array_equal(drawn[:, 5:], overlay(original, slots[1:3], scale=2)[:, 5:])
    small = overlay_on_original(original, slots, hidden=2, **places, side=1)
    assert small.shape == (1, 2, 3)  # at most twice the side


def test_what_the_model_does_not_see_stays_as_it_is():
    original = np.random.default_rng(0).integers(256, size=(4, 8, 3), dtype=np.uint8)
    drawn = overlay_on_original(
        original,
        np.zeros((4, 4), int),
        hidden=2,
        origin=np.array([2.0, 0.0]),
        scale=np.ones(2),
        side=8,
    )
    np.testing.assert_array_equal(drawn[:, [0, 1, 6, 7]], original[:, [0, 1, 6, 7]])
    assert (drawn[:, 2:6] != original[:, 2:6]).any(-1).all()


@pytest.mark.parametrize(("level", "explained"), [(1.0, 1.0), (0.5, 0.75), (0.0, 0.0)])
def test_how_much_of_the_variance_is_explained(tmp_path, level, explained):
    """Two frames of black and white halves; a reconstruction of less contrast."""
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 255
    reconstruction = 0.5 + level * (image / 255 - 0.5)
    frames = [
        SlotFrame(t, image, reconstruction, np.ones((1, 4, 4)), np.zeros((1, 4, 4, 3)))
        for t in range(2)
    ]
    info = VideoInfo(View(height=4, width=4, channels=3))
    written = write_decomposition(tmp_path / "d", frames, info=info, card={})
    assert written.frames == 2
    assert written.explained == pytest.approx(explained)
    content = json.loads((tmp_path / "d" / "info.json").read_text())
    assert content["explained"] == pytest.approx(explained)
    assert ("not trained on such videos" in written.note) == (explained < 0.7)


def test_one_color_is_explained(tmp_path):
    image = np.full((2, 2, 3), 7, np.uint8)
    frame = SlotFrame(0, image, np.zeros((2, 2, 3)), np.ones((1, 2, 2)), np.zeros((1, 2, 2, 3)))
    info = VideoInfo(View(height=2, width=2, channels=3))
    assert write_decomposition(tmp_path / "d", [frame], info=info, card={}) == Written(1, 1.0, 0)
