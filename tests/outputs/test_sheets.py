"""Sheets. Oracles: pixel values at known places, the CIELAB formula."""

import numpy as np
import pytest
from drawings import decomposition
from hypothesis import given, settings
from hypothesis import strategies as st

from stiid.outputs.overlay import overlay
from stiid.outputs.palette import PALETTE, colorize
from stiid.outputs.sheets import (
    BACKDROP,
    SIMULATED,
    decomposition_frames,
    decomposition_sheet,
    decomposition_strips,
)


def tiles(frame, height, width):
    """Upper left corners of the tiles: the places where a (height, width) image is framed."""
    row = frame.shape[0] // 2
    inside = (frame[row] != 255).any(-1)
    starts = np.flatnonzero(np.diff(inside.astype(int), prepend=0) == 1)
    return [x for x in starts if inside[x : x + width].all()]


def lab(rgb):
    """CIELAB (D65) of sRGB in 0..255, from the defining formulas."""
    c = np.asarray(rgb) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = c @ np.transpose(matrix) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def test_palette_colors_are_distinguishable():
    # 2.3 is the just noticeable difference; ask for nearly ten times that, from the background
    # colors too.
    colors = lab(np.concatenate([PALETTE, [BACKDROP, (0, 0, 0), (255, 255, 255)]]))
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    assert len(PALETTE) >= 12
    assert (distance + 100 * np.eye(len(colors))).min() > 20


def test_colorize():
    slots = np.array([[[0, 3]], [[len(PALETTE), 1]]], np.uint8)
    expected = PALETTE[[[[0, 3]], [[0, 1]]]]
    np.testing.assert_array_equal(colorize(slots), expected)
    assert colorize(slots).dtype == np.uint8
    with pytest.raises(ValueError, match="integers"):
        colorize(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="negative, got -1"):
        colorize(np.full((2, 2), -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_show_the_arrays(channels):
    arrays = decomposition(channels=channels)
    video, reconstruction, masks, means, _ = arrays
    frames = decomposition_frames(*arrays, scale=5)
    assert frames.dtype == np.uint8
    assert frames.shape[0] == 2
    lefts = tiles(frames[0], 120, 120)
    assert len(lefts) == 5 + 3
    # All tiles have the same top: below the frame of the first slot's tile.
    column = frames[0, :, lefts[5] + 60]
    top = int(np.flatnonzero((column == PALETTE[0]).all(-1))[0]) + 3

    def image(left, border, t=0):
        return frames[t, top : top + 120 : 5, left + border : left + border + 120 : 5]

    def bytes_of(array):
        return np.broadcast_to(np.rint(255 * array).astype(np.uint8), (*array.shape[:-1], 3))

    # The first band touches more of the image's border than the others: it is the background.
    dimmed = PALETTE.copy()
    dimmed[0] = np.rint(0.3 * PALETTE[0] + 0.7 * BACKDROP)
    for t in range(2):
        np.testing.assert_array_equal(image(lefts[0], 1, t), bytes_of(video[t]))
        np.testing.assert_array_equal(image(lefts[1], 1, t), bytes_of(reconstruction[t]))
        np.testing.assert_array_equal(image(lefts[3], 1, t), dimmed[masks[t].argmax(0)])
        # True ids are slot + 1, yet they get the colors of the slots that hold them.
        np.testing.assert_array_equal(image(lefts[2], 1, t), dimmed[masks[t].argmax(0)])
        drawn = overlay(bytes_of(video[t]), masks[t].argmax(0), scale=5, hidden=0)
        tile = frames[t, top : top + 120, lefts[4] + 1 : lefts[4] + 121]
        np.testing.assert_array_equal(tile, drawn)
        for k in range(3):
            owned = masks[t, k][..., None] == 1
            expected = np.where(owned, bytes_of(means[t, k]), BACKDROP)
            np.testing.assert_array_equal(image(lefts[5 + k], 3, t), expected)
            assert (frames[t, top + 60, lefts[5 + k] : lefts[5 + k] + 3] == PALETTE[k]).all()
    # Magnified without smoothing: 5 x 5 equal pixels.
    big = frames[0, top : top + 120, lefts[0] + 1 : lefts[0] + 121].reshape(24, 5, 24, 5, 3)
    assert (big == big[:, :1, :, :1]).all()


def test_the_background_is_dimmed_in_all_frames_alike():
    """Two slots share it, and the other one has more of it in the middle frame."""
    slots = np.zeros((3, 24, 24), int)
    slots[:, :, 16:] = 1
    slots[1, :, 6:] = 1
    masks, video = np.eye(2)[slots].transpose(0, 3, 1, 2), np.zeros((3, 24, 24, 3))
    arrays = video, video, masks, np.zeros((3, 2, 24, 24, 3))
    dark = np.rint(0.3 * PALETTE + 0.7 * BACKDROP)
    for chosen, background in ((None, 0), (1, 1)):
        strips = {s.label: s for s in decomposition_strips(*arrays, background=chosen)}
        for image in strips["masks"].images:
            for slot, pixel in ((0, image[0, 0]), (1, image[0, -1])):
                expected = dark[slot] if slot == background else PALETTE[slot]
                np.testing.assert_array_equal(pixel, expected)
        for image in strips["overlay"].magnified(1):
            shown = image[0, 0], image[0, -1]
            assert [bool(pixel.any()) for pixel in shown] == [background == 1, background == 0]


def test_half_transparent_slot():
    video, reconstruction, masks, means, _ = decomposition(slots=2)
    masks, means = np.full_like(masks, 0.5), np.ones_like(means)
    frames = decomposition_frames(video, reconstruction, masks, means, scale=5)
    left = tiles(frames[0], 120, 120)[4]
    # 0.5 * 255 + 0.5 * (52, 54, 60), halves rounded to even.
    assert frames[0, frames.shape[1] // 2, left + 60].tolist() == [154, 154, 158]


def test_uint8_equals_float():
    video, reconstruction, masks, means, truth = decomposition()
    as_bytes = [np.rint(255 * x).astype(np.uint8) for x in (video, reconstruction, means)]
    np.testing.assert_array_equal(
        decomposition_frames(as_bytes[0], as_bytes[1], masks, as_bytes[2], truth),
        decomposition_frames(video, reconstruction, masks, means, truth),
    )


def test_truth_without_a_slot_of_its_own_gets_a_free_color():
    video, reconstruction, masks, means, truth = decomposition(slots=2)
    truth = truth.copy()
    truth[:, :, :4] = 77  # a third object, which the two slots do not tell apart
    frames = decomposition_frames(video, reconstruction, masks, means, truth, scale=5)
    left = tiles(frames[0], 120, 120)[2]
    row = frames[0, frames.shape[1] // 2 - 30]
    assert row[left + 5].tolist() == PALETTE[2].tolist()
    # slot 0, the background
    assert row[left + 100].tolist() == np.rint(0.3 * PALETTE[0] + 0.7 * BACKDROP).tolist()


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 3),
    slots=st.integers(1, 18),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    truth=st.booleans(),
    start=st.none() | st.integers(0, 3),
)
def test_any_size(length, slots, height, width, channels, truth, start):
    arrays = decomposition(length, slots, height, width, channels)
    if not truth:
        arrays = arrays[:-1]
    frames = decomposition_frames(*arrays, scale=1, simulated_from=start)
    assert frames.shape[0] == length
    # Every slot's frame is there, whole, in its color: 6 * (height + width) + 36 pixels.
    for k in range(min(slots, len(PALETTE))):
        count = (frames[0] == PALETTE[k]).all(-1).sum()
        assert count >= 6 * (height + width) + 36
    sheet = decomposition_sheet(*arrays, frames=range(length), scale=1, simulated_from=start)
    assert sheet.ndim == 3
    assert sheet.dtype == np.uint8


@pytest.mark.parametrize(("size", "tile"), [(24, 120), (32, 128), (48, 96), (64, 128), (200, 200)])
def test_automatic_scale(size, tile):
    frames = decomposition_frames(*decomposition(1, 2, size, size)[:-1])
    assert tiles(frames[0], tile, tile)[1] - tiles(frames[0], tile, tile)[0] == tile + 6 + 5
    by_hand = decomposition_frames(*decomposition(1, 2, size, size)[:-1], scale=tile // size)
    np.testing.assert_array_equal(frames, by_hand)


def test_simulated_frames_are_marked():
    arrays = decomposition(length=4)
    plain = decomposition_frames(*arrays)
    marked = decomposition_frames(*arrays, simulated_from=2)
    np.testing.assert_array_equal(marked[:2], plain[:2])
    for t in (2, 3):
        for edge in (marked[t, :3], marked[t, -3:], marked[t, :, :3], marked[t, :, -3:]):
            assert (edge == SIMULATED).all()
    assert not (plain == SIMULATED).all(-1).any()
    sheet = decomposition_sheet(*arrays, frames=[1, 2], simulated_from=2)
    middle = sheet.shape[1] * 3 // 5
    red = (sheet == SIMULATED).all(-1).any(0)
    assert not red[:middle].any()
    assert red[middle:].any()


def test_sheet_has_a_column_per_frame():
    arrays = decomposition(length=5, slots=4, height=32, width=32)
    sheet = decomposition_sheet(*arrays, frames=[0, 2, 4], scale=4)
    # The three tiles of slot 2 are the places with its color for its frame (and its mask band).
    row_of_slot = np.flatnonzero((sheet == PALETTE[2]).all(-1).sum(1) >= 3 * (128 + 6))
    frame_rows = row_of_slot[row_of_slot > sheet.shape[0] // 2]
    assert len(frame_rows) == 6  # three rows above, three below the images
    assert frame_rows[3] - frame_rows[2] == 128 + 1
    with pytest.raises(ValueError, match=r"0\.\.4, got \[5\]"):
        decomposition_sheet(*arrays, frames=[5])


def test_a_sheet_names_empty_slots_instead_of_showing_them():
    """A slot that shows a little, or in one frame only, is not empty."""
    video, reconstruction, masks, means, truth = decomposition(length=2, slots=3)
    more = np.zeros_like(masks)
    more[:, 0], more[1, 1, 0, 0] = 0.09, 0.11
    arrays = (
        video,
        reconstruction,
        np.concatenate([masks, more], 1),
        np.concatenate([means, means], 1),
        truth,
    )
    empty = [s.label for s in decomposition_strips(*arrays) if s.empty]
    assert empty == ["slot 3", "slot 5"]
    sheet = decomposition_sheet(*arrays, frames=[0, 1], scale=4)
    framed = [(sheet == PALETTE[k]).all(-1).sum() >= 2 * 6 * (96 + 96) for k in range(6)]
    assert framed == [True, True, True, False, True, False]
    full = decomposition_sheet(*decomposition(length=2, slots=4), frames=[0, 1], scale=4)
    assert sheet.shape[0] - full.shape[0] == 18  # a line of text
    assert (sheet[-22:-9] < 128).any()
    assert (
        decomposition_frames(*arrays, scale=4).shape[2] > sheet.shape[1]
    )  # in animations they stay


def test_shapes_are_checked():
    video, reconstruction, masks, means, truth = decomposition()
    with pytest.raises(ValueError, match="video must have shape"):
        decomposition_frames(video[0], reconstruction, masks, means)
    with pytest.raises(ValueError, match="reconstruction must have shape"):
        decomposition_frames(video, reconstruction[:1], masks, means)
    with pytest.raises(ValueError, match="masks must have shape"):
        decomposition_frames(video, reconstruction, masks[0], means)
    with pytest.raises(ValueError, match="means must have shape"):
        decomposition_frames(video, reconstruction, masks, means[:, :2])
    with pytest.raises(ValueError, match="true_masks must have shape"):
        decomposition_frames(video, reconstruction, masks, means, truth[..., None])
    with pytest.raises(ValueError, match="scale"):
        decomposition_frames(video, reconstruction, masks, means, scale=0)


def test_animations_fit_a_slide():
    """Twelve tiles of 112 pixels are too wide side by side: they continue below."""
    frames = decomposition_frames(*decomposition(1, 9, 28, 28))
    assert frames.shape[2] <= 1300
    assert frames.shape[1] > 2 * 112
    for k in range(9):
        assert (frames[0] == PALETTE[k]).all(-1).sum() >= 6 * (112 + 112)
