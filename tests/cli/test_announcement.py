"""Warnings before a training: that it takes long on CPUs, and of an unsuitable variance."""

import numpy as np
import tiny

from stiid.cli import announcement
from stiid.config.files import run_folder, small_variants
from stiid.config.resolve import load_experiment


def test_a_long_training_is_announced_with_what_is_shorter(monkeypatch, told):
    monkeypatch.setattr(announcement, "_hours", lambda experiment: 75.0)
    announcement.announce(load_experiment("clevrer"), "configs/clevrer.py")
    assert told.messages == [
        "this training takes about 3 days on the 8 CPU core(s) here (a rough estimate): it is "
        "meant for GPUs. For two CPU cores, try --config=configs/clevrer.py:small"
    ]


def test_short_trainings_are_not_mentioned(tmp_path, monkeypatch, told):
    announcement.announce(tiny.experiment(tmp_path), None)
    monkeypatch.setattr(announcement, "_hours", lambda experiment: 11.0)
    announcement.announce(load_experiment("clevrer"), None)
    assert told.messages == []


def test_the_estimate_is_of_all_stages(tmp_path):
    """Both stages of the tiny experiment have three steps, of two and of three frames."""
    experiment = tiny.experiment(tmp_path)
    both = announcement._hours(experiment)
    longer = tiny.experiment(tmp_path, train__stages__stage_0__steps=6)
    assert both > 0
    assert abs(announcement._hours(longer) / both - (6 * 2 + 3 * 3) / (3 * 2 + 3 * 3)) < 1e-6


def test_small_variants_and_their_folders():
    assert small_variants("configs/clevrer.py") == ["configs/clevrer.py:small"]
    assert small_variants("bouncing_balls:binary") == [
        "bouncing_balls:small_binary",
        "bouncing_balls:small_color",
    ]
    assert small_variants("quickstart") == []
    assert str(run_folder("configs/clevrer.py:small")) == "runs/clevrer-small"
    assert str(run_folder("quickstart")) == "runs/quickstart"


def test_a_variance_that_hides_objects_is_told(monkeypatch, told):
    experiment = load_experiment("quickstart")  # σ² = 0.3
    faint = [{"video": np.full((2, 4, 4, 3), 100, np.uint8)} for _ in range(3)]
    for clip in faint:
        clip["video"][..., :2, :] += 51  # a variance of (51 / 255 / 2)² = 0.01
    announcement.advise_variance(experiment, faint)
    assert told.messages[0].startswith("the pixels of these clips have a variance of only 0.01")
    assert told.messages[0].endswith("Try --config.model.inference.variance=0.02")
    clear = [{"video": clip["video"] // 151 * 255} for clip in faint]  # black and white
    announcement.advise_variance(experiment, clear)
    assert len(told.messages) == 1
