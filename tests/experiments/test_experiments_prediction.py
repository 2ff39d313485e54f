"""Predictions without dynamics in literal cases, and scores against those of --mode=predict."""

import numpy as np
import pytest
import tiny

from experiments.contacts import GROUPS
from experiments.plots import SeedCurve, save_curves
from experiments.prediction import PARTS, _joined, measure
from experiments.result import MODEL
from experiments.trivial_prediction import move_on, repeat_last
from stiid.evaluation.prediction import predict_clips, prediction_scores
from stiid.training.restore import restore


def clip(*rows_of_frames):
    """Slots [S, H, W] from rows of digits."""
    return np.array([[[int(digit) for digit in row] for row in frame] for frame in rows_of_frames])


# Slot 1 moves a column to the right each frame, slot 2 half a row down; 0 is the background.
OBSERVED = clip(
    ("110000", "000002", "000000", "000000"),
    ("011000", "000002", "000000", "000000"),
    ("001100", "000000", "000002", "000000"),
)
# Of 0, 1, 2; a lighter background, 10 of its 21 pixels; their mean; a part of slot 1.
COLORS = np.array([[0.25], [0.5], [1.0], [0.75], [41 / 84], [0.6]])


def test_slots_that_move_on():
    """By hand: they leave the frame on the right and below; 1/2, 1, 3/2 rows are 0, 1, 2 (to even).

    The background keeps its colors, and has its mean color where something has left.
    """
    frames = COLORS[OBSERVED]
    frames[-1] = COLORS[clip(("335133", "333333", "000002", "000000"))[0]]
    predicted = move_on(OBSERVED, frames, num_slots=4, count=3)
    expected = clip(
        ("000110", "000000", "000002", "000000"),
        ("000011", "000000", "000000", "000002"),
        ("000001", "000000", "000000", "000000"),
    )
    np.testing.assert_array_equal(predicted.slots, expected)
    expected = clip(
        ("334513", "333333", "000002", "000000"),
        ("334451", "333333", "000004", "000002"),
        ("334435", "333333", "000004", "000000"),
    )
    np.testing.assert_allclose(predicted.frames, COLORS[expected])


def test_the_smaller_slot_is_in_front():
    observed = clip(("1110000", "1110200"), ("0111000", "0111200"), ("0011100", "0011120"))
    observed[:, 1, :] = [[1, 1, 1, 0, 0, 2, 0], [0, 1, 1, 1, 0, 2, 0], [0, 0, 1, 1, 1, 2, 0]]
    predicted = move_on(observed, COLORS[observed], num_slots=3, count=1)
    np.testing.assert_array_equal(predicted.slots[0], clip(("0001110", "0001120"))[0])


def test_a_slot_that_has_just_appeared_stays():
    observed = clip(("0000",), ("0000",), ("0010",))
    predicted = move_on(observed, COLORS[observed], num_slots=2, count=2)
    np.testing.assert_array_equal(predicted.slots, clip(("0010",), ("0010",)))


def test_the_last_frame_repeated():
    predicted = repeat_last(OBSERVED, COLORS[OBSERVED], count=2)
    np.testing.assert_array_equal(predicted.slots, OBSERVED[[2, 2]])
    np.testing.assert_array_equal(predicted.frames, COLORS[OBSERVED[[2, 2]]])


def test_scores_are_those_of_the_command_line(trained, data_dir):
    """Of 8 clips: all simulated frames, the copies' error, and the velocities."""
    experiment = tiny.experiment(data_dir, evaluate__clips=8, predict__clips=8)
    with tiny.quick_compilation():
        experiment, state, source, system = restore(experiment, trained, "latest")
        ours = measure(experiment, system, source, state.params, trained)
        clips, result = predict_clips(
            experiment.predict, experiment.evaluate, system, source, state.params
        )
    theirs = prediction_scores(clips, result, num_observed=3)
    assert (ours["observed"], ours["simulated"], ours["clips"]) == (3, 2, 8)
    parts = ours["parts"]
    assert set(parts) == set(PARTS)
    assert parts[MODEL]["observed"] == pytest.approx(theirs["observed"], abs=1e-6)
    assert parts[MODEL]["horizons"]["2"] == pytest.approx(theirs["simulated"], abs=1e-6)
    first = theirs["simulated_frames"][0]
    assert parts[MODEL]["horizons"]["1"]["mse"] == pytest.approx(first["mse"], abs=1e-6)
    copies = [frame["copy_mse"] for frame in theirs["simulated_frames"]]
    for n in (1, 2):
        copied = parts["last frame"]["horizons"][str(n)]["mse"]
        assert copied == pytest.approx(np.mean(copies[:n]), abs=1e-6)
    assert parts[MODEL]["velocity"] == theirs["velocity"]
    for our, their in zip(parts[MODEL]["frames"], theirs["simulated_frames"], strict=True):
        assert our == pytest.approx({name: their[name] for name in our}, abs=1e-6)
    assert {"ari_frame", "f_ari_frame", "mse", "psnr"} <= our.keys()
    for part in PARTS:  # two balls in each of 8 clips
        contacts = parts[part]["contacts"]
        assert np.sum([contacts[group]["balls"] for group in GROUPS], 0).tolist() == [16, 16]
    # Another prediction of the same clips, from the same observed frames.
    assert parts["linear motion"]["observed"] == pytest.approx(parts[MODEL]["observed"], abs=1e-6)
    assert parts["linear motion"]["horizons"] != parts["last frame"]["horizons"]


def test_batches_of_more_objects_than_others():
    """Tables are filled with none, positions with no place."""
    few, many = np.ones((2, 3, 2, 5)), np.ones((1, 3, 4, 5))
    joined = _joined([few, many], np.nan)
    assert joined.shape == (3, 3, 4, 5)
    np.testing.assert_array_equal(joined[:2, :, :2], few)
    np.testing.assert_array_equal(joined[2:], many)
    assert np.isnan(joined[:2, :, 2:]).all()


def test_velocities_need_three_frames(trained, data_dir):
    experiment = tiny.experiment(data_dir, predict__num_observed=2)
    experiment, state, source, system = restore(experiment, trained, "latest")
    with pytest.raises(ValueError, match="num_observed must be at least 3 for velocities, got 2"):
        measure(experiment, system, source, state.params, trained)


def test_curves_are_written_and_written_again(tmp_path):
    record = {"mean_std": {"3": {"mse": {"mean": 0.5, "std": 0.25}}}}
    curve = SeedCurve.of(record, "mse", ("3", "5"), label="Our")
    np.testing.assert_array_equal(curve.x, [3, 5])
    np.testing.assert_array_equal(curve.mean, [0.5, np.nan])
    np.testing.assert_array_equal(curve.std, [0.25, 0])
    panels = {"A": [curve], "B": [curve]}
    paths = save_curves(tmp_path / "one-small", panels, x_label="n")
    assert [path.name for path in paths] == ["one-small.png", "one-small.pdf"]
    again = save_curves(tmp_path / "two", panels, x_label="n")
    for ours, theirs in zip(paths, again, strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
