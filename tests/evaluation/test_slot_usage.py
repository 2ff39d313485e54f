"""Oracles: images small enough to count by hand."""

import itertools
import re

import numpy as np
import pytest
import tiny

from experiments.config_files import load_config
from stiid.evaluation.rollout import Clips
from stiid.evaluation.slot_usage import findings, slot_use, summary
from stiid.models.base import Decomposition
from stiid.training.log import read_log

GOOD = {"slots_used": 3.0, "confidence": 0.95, "explained": 0.9, "background": 0.97}
GOOD |= {"share_1": 0.8, "share_2": 0.1, "share_3": 0.1, "kl_1": 40.0, "kl_2": 30.0, "kl_3": 2.0}


def clip(owner, *, ids=None, kl, confidence=1.0, video=None, reconstruction=None):
    """One clip of 1 × W pixels and K = len(kl) slots, each pixel of which has an owner."""
    owner = np.asarray(owner)[None, :, None]  # [1, T, 1, W]
    slots = len(kl)
    hot = np.moveaxis(np.eye(slots)[owner], -1, 2)  # [1, T, K, 1, W]
    masks = hot * confidence + (1 - hot) * (1 - confidence) / (slots - 1)
    if video is None:
        video = np.zeros((*owner.shape, 1), np.uint8)
        video[..., ::2, :] = 255
    if reconstruction is None:
        reconstruction = video / 255
    ids = None if ids is None else np.asarray(ids)[None, :, None]
    divergence = np.broadcast_to(np.asarray(kl), (1, owner.shape[1], slots))
    means = np.zeros((*masks.shape, 1))
    return (
        Clips(video, ids, np.zeros(1, np.int32)),
        Decomposition(np.asarray(reconstruction), masks, means, divergence),
    )


def test_use_of_slots_that_change_from_frame_to_frame():
    owner = [[0, 0, 0, 1], [0, 0, 2, 2]]
    ids = [[0, 0, 0, 1], [0, 0, 0, 0]]
    use = slot_use(*clip(owner, ids=ids, kl=(1.0, 3.0, 2.0), confidence=0.8), length=2)
    assert {name: value.item() for name, value in use.items()} == pytest.approx(
        {
            "slots_used": 2.0,
            "confidence": 0.8,
            "explained": 1.0,
            "background": 5 / 7,  # slot 0 holds 3 of 3, then 2 of 4 pixels of the background
            "share_1": 5 / 8,  # 3 of 4, then 2 of 4
            "share_2": 3 / 8,
            "share_3": 0.0,
            "kl_1": 3.0,
            "kl_2": 2.0,
            "kl_3": 1.0,
        }
    )
    first = slot_use(*clip(owner, kl=(1.0, 3.0, 2.0)), length=1)
    assert "background" not in first
    assert (first["share_1"].item(), first["share_3"].item()) == (3 / 4, 0.0)


def test_slots_may_change_their_roles():
    """As those of a model without memory do: in each frame one slot holds the background."""
    owner = [[0, 0, 0, 1], [1, 1, 1, 0], [2, 2, 2, 1]]
    use = slot_use(*clip(owner, ids=[[0, 0, 0, 1]] * 3, kl=(1.0, 3.0, 2.0)), length=3)
    assert use["background"].item() == 1.0
    assert [use[f"share_{rank}"].item() for rank in (1, 2, 3)] == [3 / 4, 1 / 4, 0.0]


def test_nothing_is_to_be_explained_in_a_clip_of_one_color():
    video = np.full((1, 1, 1, 4, 1), 7, np.uint8)
    image = np.full(video.shape, 0.5)
    use = slot_use(
        *clip([[0, 0, 1, 1]], kl=(1.0, 1.0), video=video, reconstruction=image), length=1
    )
    assert use["explained"].item() == 1.0


def test_a_clip_without_background_lacks_nothing():
    use = slot_use(*clip([[0, 1]], ids=[[1, 2]], kl=(1.0, 1.0)), length=1)
    assert use["background"].item() == 1.0


def test_explained_variance_of_one_color_and_of_worse():
    video = np.array([0, 255, 0, 255], np.uint8).reshape(1, 1, 1, 4, 1)
    owner = [[0, 0, 1, 1]]
    for value, expected in ((0.5, 0.0), (0.0, -1.0), (1.0, -1.0)):
        image = np.full(video.shape, value)
        clips = clip(owner, kl=(1.0, 1.0), video=video, reconstruction=image)
        assert slot_use(*clips, length=1)["explained"].item() == pytest.approx(expected)


def test_nothing_is_found_in_a_model_that_works():
    assert findings(GOOD, family="stiid") == []
    assert summary(GOOD) == (
        "slots: 3.0 of 3 in use, KL 40.0 30.0 2.0 nats, coverage 80 10 10 %, "
        "97 % of the background in one slot"
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kl_1": 0.5, "kl_2": 0.2, "kl_3": 0.1}, "KL of 0.8 nats"),
        ({"explained": 0.02}, "no better than one color"),
        ({"confidence": 0.35}, "equal masks would be 0.33"),
        ({"slots_used": 1.0, "share_1": 1.0}, "one slot covers everything"),
        ({"background": 0.4}, "in one slot is 40 % of it"),
    ],
)
def test_each_fault_is_found_by_itself(change, word):
    (found,) = findings(GOOD | change, family="stiid")
    assert word in found


def test_no_cure_is_known_of_other_families():
    """R-NEM has no posteriors, and neither baseline the fields that the advice names."""
    assert findings(GOOD | {"kl_1": 0.0, "kl_2": 0.0, "kl_3": 0.0}, family="rnem") == []


def test_the_fields_that_advice_names_exist():
    bad = {"kl_1": 0.0, "kl_2": 0.0, "kl_3": 0.0, "explained": 0.0}
    texts = [
        findings(GOOD | bad | {name: 0.0}, family="stiid")
        for name in ("confidence", "slots_used", "background")
    ]
    advice = " ".join(itertools.chain.from_iterable(texts))
    named = set(re.findall(r"\b(?:inference|objective|optim)\.\w+", advice))
    config = load_config("quickstart").to_dict()
    sections = {**config["model"], "optim": config["optim"]}
    assert len(named) >= 7
    for name in named:
        section, field = name.split(".")
        assert field in sections[section], name


def test_one_slot_alone_is_no_fault_where_there_is_but_one():
    one = {"slots_used": 1.0, "confidence": 1.0, "explained": 0.9, "share_1": 1.0, "kl_1": 40.0}
    assert findings(one, family="stiid") == []


def test_training_logs_the_use_of_slots_and_what_is_wrong(trained, data_dir, tmp_path, told):
    rows = [row for row in read_log(trained / "metrics.jsonl") if row["split"] == "slots"]
    evaluations = [row for row in read_log(trained / "metrics.jsonl") if row["split"] == "eval_2"]
    assert [row["step"] for row in rows] == [row["step"] for row in evaluations]
    use = tiny.scores(trained)["slot_use"]
    assert use == {name: rows[-1][name] for name in use}
    assert sum(use[f"share_{rank}"] for rank in (1, 2, 3)) == pytest.approx(1.0)
    tiny.train(tiny.experiment(data_dir), tmp_path)
    assert "no better than one color" in told.text  # after six updates
    assert "of 3 in use" in told.text
