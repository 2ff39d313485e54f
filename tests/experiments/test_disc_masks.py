"""Discs that are fitted to a made animation, against those that were drawn."""

import numpy as np
import pytest

import stiid
from experiments import disc_masks

RADII = (3.2, 4.0)


@pytest.fixture
def discs():
    """Three discs [T, 3, 3]: two that touch and part again, and a small one that passes a wall."""
    t = np.arange(6.0)
    return np.stack(
        [
            np.stack([12 + 0 * t, 6.25 + 0.5 * t, 0 * t + 4.0], -1),
            np.stack([12 + t, 16.75 - 0.5 * t, 0 * t + 4.0], -1),
            np.stack([27 - 0.25 * t, 3.5 + 3 * t, 0 * t + 3.2], -1),
        ],
        axis=1,
    )


def video(discs, size=32):
    return 255 * (disc_masks.draw(discs, (size, size), size=size)[..., None] > 0).astype(np.uint8)


def test_discs_are_found_again(discs):
    found = disc_masks.find_discs(video(discs)[..., 0] > 127, 3, radii=RADII)
    order = np.linalg.norm(found[0, :, None, :2] - discs[0, None, :, :2], axis=-1).argmin(1)
    assert sorted(order) == [0, 1, 2]
    assert np.abs(found - discs[:, order]).max() < 0.75
    np.testing.assert_array_equal(found[..., 2], discs[:, order, 2])


def test_the_command_writes_masks_of_the_size_of_the_slots(discs, tmp_path, capsys):
    frames = np.zeros((len(discs), 40, 32, 1), np.uint8)
    frames[:, :32] = video(discs)
    np.save(tmp_path / "balls.npy", frames.repeat(3, -1))
    disc_masks.main(
        [
            str(tmp_path / "balls.npy"),
            *("--balls=3", "--crop", "0", "0", "32", "32", "--size=16"),
            *("--radii", "3.2", "4.0", f"--output={tmp_path / 'truth.npy'}"),
        ]
    )
    truth = np.load(tmp_path / "truth.npy")
    assert truth.shape == (6, 16, 16)
    scores = stiid.score(truth, disc_masks.draw(discs, (32, 32), size=16))
    assert scores["f_ari"] > 0.95
    assert scores["slot_switches"] == 0
    assert "differ from" in capsys.readouterr().out
