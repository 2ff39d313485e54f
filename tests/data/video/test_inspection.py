"""Videos whose motion, sizes and faults are known: the numbers, and the advice."""

import numpy as np
import pytest

from stiid.cli.data import main
from stiid.data.video.advice import advise
from stiid.data.video.array_file import ArrayFile
from stiid.data.video.frames import SAMPLE, SAMPLE_FILE
from stiid.data.video.inspection import inspect_video


def discs(*, frames=200, size=(60, 80), radius=5, speed=0.5, count=3, background=None):
    """White discs that run back and forth in rows of their own: uint8 [T, H, W, 3]."""
    height, width = size
    plain = np.zeros((height, width, 3), np.uint8) if background is None else background
    video = np.repeat(plain[None], frames, 0)
    rows, columns = np.mgrid[:height, :width]
    for number in range(count):
        row = (number + 0.5) * height / count
        reach = width - 2 * radius
        for t in range(frames):
            phase = (speed * t + number * reach * 0.6) % (2 * reach)
            column = radius + min(phase, 2 * reach - phase)
            video[t][(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 255
    return video


def look(tmp_path, video):
    np.save(tmp_path / "video.npy", video)
    return inspect_video(ArrayFile(tmp_path / "video.npy"))


def test_numbers_of_known_discs(tmp_path):
    found = look(tmp_path, discs())
    assert (found.width, found.height, found.frames, found.complete) == (80, 60, 200, True)
    assert found.objects == 3
    assert found.diameter == pytest.approx(10, rel=0.1)
    assert found.motion == pytest.approx(0.5, abs=0.1)
    assert (found.background_edges, found.camera_motion, found.cuts) == (0.0, 0.0, 0)
    assert found.changing == pytest.approx(3 * np.pi * 25 / 4800, rel=0.1)


def test_large_frames_are_measured_in_their_own_pixels(tmp_path):
    small = look(tmp_path, discs(frames=60))
    large = look(tmp_path, discs(frames=60).repeat(4, 1).repeat(4, 2))
    for name in ("diameter", "motion"):
        assert getattr(large, name) == pytest.approx(4 * getattr(small, name), rel=0.2), name
    assert large.objects == small.objects


def test_advice_on_discs(tmp_path):
    """At 48 of 80 pixels, the diameter of 10 becomes 6."""
    advice = advise(look(tmp_path, discs(frames=301)))
    assert advice.refusals == []
    assert advice.num_slots == 5
    assert advice.options["width"] == 48
    assert advice.options["height"] == 36
    assert advice.options["stride"] == 1  # of 300 frames, a larger one leaves too few clips
    few = advise(look(tmp_path, discs(frames=30, speed=2)))
    assert few.refusals == []
    assert few.options["frames"] == 10
    assert "30 frames are 3 clips" in few.notes[0]


def test_a_crop_where_only_a_part_moves(tmp_path):
    video = np.zeros((100, 90, 160, 3), np.uint8)
    video[:, 20:80, 60:140] = discs(frames=100)
    crop = advise(look(tmp_path, video)).options["crop"]
    left, top, width, height = crop
    assert 56 <= left <= 62
    assert 134 <= left + width <= 144
    assert 20 <= top <= 28
    assert 70 <= top + height <= 80


def texture(height=60, width=80):
    return (
        np.random.default_rng(0).integers(0, 2, (height, width, 1), np.uint8)
        * 180
        * np.ones(3, np.uint8)
    )


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        (discs(frames=40, background=texture()), "the background is not plain"),
        (np.stack([np.roll(texture(), 3 * t, 1) for t in range(40)]), "the camera moves, by 3.0"),
        (np.repeat(discs(frames=1), 40, 0), "nothing stands out"),
        (discs(frames=40, speed=0.05), "hardly anything moves"),
        (discs(frames=40, size=(100, 128), radius=2, speed=2, count=20), "shows some 20 things"),
        (
            np.repeat(np.arange(20) % 2 * 255, 2)[:, None, None, None]
            + np.zeros((40, 8, 8, 3), int),
            "cuts",
        ),
    ],
)
def test_videos_that_are_not_for_the_model(tmp_path, video, reason):
    refusals = advise(look(tmp_path, video.astype(np.uint8))).refusals
    assert any(reason in text for text in refusals), refusals


def test_the_command_says_how_or_why_not(tmp_path, capsys):
    path = tmp_path / "a video.npy"
    np.save(path, discs(frames=40, speed=2))
    assert main(["inspect", str(path)]) == 0
    output = capsys.readouterr().out
    assert "stiid train own_video:fast" in output
    assert f"'--config.data.options.path={path}'" in output
    assert "--config.model.num_slots=5" in output
    assert main(["inspect", SAMPLE]) == 0
    assert f"--config.data.options.path={SAMPLE_FILE}" in capsys.readouterr().out  # to train on
    np.save(path, discs(frames=40, background=texture()))
    assert main(["inspect", str(path)]) == 0
    output = capsys.readouterr().out
    assert "not for this model: the background is not plain" in output
    assert "stiid train" not in output
    np.save(path, discs(frames=1))
    assert main(["inspect", str(path)]) == 1
    assert "at least two" in capsys.readouterr().err
