"""Oracles: the scores that training ended with, and the same clips in other batches."""

import json
import math
import shutil

import numpy as np
import pytest
import scipy.io
import tiny

from stiid import parallel
from stiid.evaluation.evaluator import Evaluation, Evaluator, empty_clips, table_text, tables
from stiid.evaluation.rollout import Clips, evaluation_clips
from stiid.files import write_json
from stiid.models.base import Decomposition
from stiid.training.compatibility import MODEL, check_same
from stiid.training.digest import change_json
from stiid.training.restore import load_clips, restore
from stiid.typed_config import parse, to_dict

INDICES = {f"{pixels}ari{mean}" for pixels in ("", "f_") for mean in ("", "_frame", "_authors")}
SCORES = INDICES | {"miou", "recall", "mse", "slot_switches"}


def evaluate(trained, experiment):
    """Scores of a trained run under another experiment."""
    with tiny.quick_compilation():
        experiment, state, source, system = restore(experiment, trained, "latest")
        return Evaluator(experiment.evaluate, system, source)(parallel.replicate(state.params))


def assert_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for length, scores in ours.items():
        assert scores == pytest.approx(theirs[length], abs=1e-5)


def test_content_of_the_report(trained, data_dir):
    report = tiny.scores(trained)
    assert report.keys() == {
        *("lengths", "slot_use", "slots", "clips", "clips_with_objects", "step", "data", "config")
    }
    assert report["clips_with_objects"] == {"2": 10, "4": 10}
    assert {length: set(scores) for length, scores in report["lengths"].items()} == {
        "2": SCORES,
        "4": SCORES,
    }
    assert (report["slots"], report["clips"], report["step"]) == (3, 10, 6)
    experiment = tiny.experiment(data_dir)
    assert parse(type(experiment), report["config"]) == experiment
    for scores in report["lengths"].values():
        assert 0 < scores["mse"] < 1
        assert 0 <= scores["miou"] <= 1
        assert all(-1 <= scores[name] <= 1 for name in SCORES - {"slot_switches", "mse"})


@pytest.mark.parametrize("checkpoint", ["latest", "", "checkpoints", "checkpoints/6"])
def test_evaluation_repeats_what_training_ended_with(trained, tmp_path, checkpoint):
    """The config comes from the checkpoint. Nothing but the report is written."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(trained, run)
    (run / "eval" / "metrics.json").unlink()
    before = tiny.contents(run)
    workdir, name = (run, "latest") if checkpoint == "latest" else (elsewhere, run / checkpoint)
    tiny.execute("eval", None, workdir, str(name))
    ours, theirs = tiny.scores(workdir), tiny.scores(trained)
    assert_close(ours.pop("lengths"), theirs.pop("lengths"))
    assert ours == theirs
    (workdir / "eval" / "metrics.json").unlink()
    assert tiny.contents(run) == before
    assert not tiny.contents(elsewhere)


def test_the_best_checkpoint_is_the_one_with_the_best_score(trained, tmp_path):
    rows = [row for row in tiny.log(trained) if row["split"] == "eval_2"]
    best = max(rows, key=lambda row: row["f_ari"])
    tiny.execute("eval", None, tmp_path, str(trained))
    latest = tiny.scores(tmp_path)["step"]
    state = restore(None, trained, "best")[1]
    assert (int(state.step), latest) == (best["step"], 6)


def test_padding_the_last_batch_changes_nothing(trained, data_dir, use_devices):
    """10 clips: a batch of 8 and 2 clips with padding, or two batches of 5."""
    padded = evaluate(trained, tiny.experiment(data_dir))
    use_devices(5)
    full = evaluate(trained, tiny.experiment(data_dir, evaluate__batch_size=5))
    assert padded.clips == full.clips == 10
    assert_close(padded.scores, full.scores)


@pytest.mark.parametrize(
    ("devices", "clips", "batch_size", "valid"),
    [
        (1, 0, 8, [4, 4, 2]),  # progress shows after every fourth clip, of 10
        (1, 0, 2, [2, 2, 2, 2, 2]),
        (1, 3, 8, [3]),  # three clips do not take as long as eight
        (2, 3, 8, [3]),
    ],
)
def test_clips_are_evaluated_few_at_a_time(
    data_dir, use_devices, devices, clips, batch_size, valid
):
    use_devices(devices)
    changes = {"evaluate__clips": clips, "evaluate__batch_size": batch_size}
    experiment = tiny.experiment(data_dir, **changes)
    source = load_clips(experiment)
    found = list(evaluation_clips(experiment.evaluate, source, num_frames=2, what="Evaluating"))
    assert [int(rows.sum()) for _, rows in found] == valid
    assert {len(batch.video) for batch, _ in found} == {valid[0] + valid[0] % devices}
    rows = np.concatenate([batch.rows[chosen] for batch, chosen in found])
    np.testing.assert_array_equal(rows, np.arange(clips or 10))


def test_a_length_is_scored_as_if_the_clip_ended_there(trained, data_dir):
    whole = evaluate(trained, tiny.experiment(data_dir, evaluate__lengths=(2, 4)))
    short = evaluate(trained, tiny.experiment(data_dir, evaluate__lengths=(2,)))
    assert_close({2: whole.scores[2]}, short.scores)


def test_other_slots_than_in_training(trained, data_dir, tmp_path):
    experiment = tiny.experiment(data_dir, evaluate__num_slots=5, evaluate__clips=8)
    tiny.execute("eval", experiment, tmp_path, str(trained))
    report = tiny.scores(tmp_path)
    assert (report["slots"], report["clips"]) == (5, 8)
    assert report["config"]["model"]["num_slots"] == 3
    assert report["lengths"]["4"] != tiny.scores(trained)["lengths"]["4"]


@pytest.mark.parametrize("switch", [{"gradient_skip": 0.0}, {"conditional_prior": False}])
def test_a_model_that_needs_less_at_test_is_restored(trained, data_dir, tmp_path, switch):
    """The checkpoint has parameters that the model at test does without."""
    experiment = tiny.experiment(data_dir, evaluate__model={"inference": switch})
    tiny.execute("eval", experiment, tmp_path, str(trained))
    assert tiny.scores(tmp_path)["step"] == 6
    assert tiny.scores(tmp_path)["lengths"]["4"] != tiny.scores(trained)["lengths"]["4"]


def test_another_model_is_refused(trained, data_dir, tmp_path):
    experiment = tiny.experiment(data_dir, model__num_slots=4)
    with pytest.raises(ValueError, match=r"num_slots is 3 there and 4 here\. Leave out --config"):
        tiny.execute("eval", experiment, tmp_path, str(trained))
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_family_is_refused(data_dir):
    """By its family, not by the first field that only one of them has."""
    stored = to_dict(tiny.experiment(data_dir))
    other = {**stored, "model": {"attention_features": 64, "family": "rnem"}}
    with pytest.raises(ValueError, match=r"model\.family is 'rnem' there and 'stiid' here"):
        check_same(MODEL, tiny.experiment(data_dir), other, where=data_dir)
    del stored["model"]["prior"]
    with pytest.raises(ValueError, match=r"model\.prior\.features is missing there and 5 here"):
        check_same(MODEL, tiny.experiment(data_dir), stored, where=data_dir)


def test_a_config_of_another_version_is_named(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "checkpoints" / "6" / "config" / "metadata"
    config = json.loads(path.read_text())
    config["train"]["patience"] = 3
    change_json(run / "checkpoints" / "6", "config", config)
    message = (
        r"config of checkpoint 6 in .*unknown field\(s\) patience; .* Another version wrote it"
    )
    with pytest.raises(ValueError, match=message):
        tiny.execute("eval", None, run)


def test_data_of_another_size_are_refused(trained, data_dir, tmp_path):
    options = {**tiny.CONFIG["data"]["options"], "resolution": 12}
    experiment = tiny.experiment(data_dir, data__options=options)
    with pytest.raises(ValueError, match=r"has shape .* there and .* here"):
        tiny.execute("eval", experiment, tmp_path, str(trained))


def test_an_evaluation_keeps_two_clips_and_no_batch(trained, data_dir):
    clips, result = evaluate(trained, tiny.experiment(data_dir)).preview
    for kept in (clips.video, clips.masks, result.reconstruction, result.masks):
        assert len(kept) == 2
        assert kept.base is None
    clips, _ = evaluate(trained, tiny.experiment(data_dir, evaluate__clips=1)).preview
    assert len(clips.video) == 1  # no padding


def test_any_number_of_objects_is_counted():
    """One frame of 40 pixels, each an object of its own, in two slots."""
    masks = np.arange(40, dtype=np.uint8).reshape(1, 1, 5, 8)
    video = np.zeros((1, 1, 5, 8, 3), np.uint8)
    slots = np.stack([masks < 25, masks >= 25], 2).astype(np.float32)
    image = video.astype(np.float32)
    result = Decomposition(image, slots, image[:, :, None], np.zeros((1, 1, 2)))
    table, _ = tables(Clips(video, masks, np.zeros(1, np.int32)), result)
    np.testing.assert_array_equal(table[0, 0].sum(1)[:40], 1)
    np.testing.assert_array_equal(table[0, 0].sum(0), [25, 15])


def test_what_is_no_number_is_null_in_json(tmp_path):
    content = {"a": math.nan, "b": [1.5, math.inf], "c": {"d": -math.inf, "e": None, "f": "nan"}}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None],
        "c": {"d": None, "e": None, "f": "nan"},
    }


def test_table_has_a_row_per_length():
    text = table_text({10: {"ari": 0.5, "mse": 0.25}, 20: {"ari": -0.125, "mse": 0.0}})
    assert [line.split() for line in text.splitlines()] == [
        ["frames", "ari", "mse"],
        ["10", "0.5000", "0.2500"],
        ["20", "-0.1250", "0.0000"],
    ]


def test_table_has_authors_scores_that_differ():
    scores = {"ari_frame": 0.5, "f_ari_frame": 0.5, "ari_authors": 0.5, "f_ari_authors": 0.75}
    head, row = table_text({10: scores}).splitlines()
    assert head.split() == ["frames", "ari_frame", "f_ari_frame", "f_ari_authors"]
    assert row.split() == ["10", "0.5000", "0.5000", "0.7500"]


def test_clips_without_objects_are_named():
    found = Evaluation({}, {}, 10, {2: 1, 4: 10}, ())
    assert empty_clips(found) == (
        "1 of 10 clips show objects in the first 2 frames: "
        "scores of objects are means over these only"
    )
    assert empty_clips(found._replace(with_objects={2: 10})) is None
    assert empty_clips(found._replace(with_objects={})) is None


def test_without_true_masks_scores_are_missing_not_perfect(trained, data_dir, tmp_path, capsys):
    """MSE is left; everything that needs masks is gone, in evaluation and in prediction."""
    for name in ("a", "b"):
        tiny.write_video(tmp_path / "videos" / f"{name}.mp4", frames=20)
    options = {"path": str(tmp_path / "videos"), "height": 8, "width": 8, "frames": 6}
    changes = {"data__name": "own_video", "data__options": options}
    experiment = tiny.experiment(data_dir, train__best_metric="mse", **changes)
    for mode in ("eval", "predict"):
        tiny.execute(mode, experiment, tmp_path / "out", str(trained))
    assert {
        length: set(row) for length, row in tiny.scores(tmp_path / "out")["lengths"].items()
    } == {
        "2": {"mse"},
        "4": {"mse"},
    }
    (file,) = tiny.scores(tmp_path / "out")["files"]  # the one that is held out
    assert tiny.scores(tmp_path / "out")["files"] == {file: [0, 6, 12]}
    assert f'scored 3 clip(s) of {file}; see "files" in metrics.json' in capsys.readouterr().out
    predicted = json.loads((tmp_path / "out" / "predict" / "metrics.json").read_text())
    assert set(predicted["observed"]) == {"mse"}
    assert set(predicted["simulated_frames"][0]) == {
        "mse",
        "mse_sum",
        "bce",
        "bce_sum",
        "copy_mse",
        "psnr",
    }
    experiment = tiny.experiment(data_dir, **changes)
    with pytest.raises(ValueError, match="'f_ari' needs true masks, which the clips do not have"):
        tiny.train(experiment, tmp_path / "new")


def test_the_motion_check_goes_with_tracks(trained, data_dir, tmp_path):
    """Two points at rest side by side, and one that runs: found, and judged."""
    tiny.write_video(tmp_path / "a.avi", frames=60, width=32, height=32)
    times = np.arange(60.0)
    tracks = np.zeros((1, 3), [(name, object) for name in "xyt"])
    for i, (x, y) in enumerate([(4 + 0 * times, 4.0), (8 + 0 * times, 4.0), (1 + times / 2, 20.0)]):
        for name, values in (("x", x), ("y", np.full(60, y)), ("t", times)):
            tracks[0, i][name] = values[:, None]
    scipy.io.savemat(tmp_path / "t.mat", {"trks": tracks})
    options = {
        "path": str(tmp_path / "a.avi"),
        "tracklets": str(tmp_path / "t.mat"),
        **{"crop": (), "resolution": 8, "stride": 5, "frames": 6, "gap": 0},
        **{"train": 0.0, "validation": 1.0, "test": 0.0},
    }
    changes = {"data__name": "grand_central", "data__options": options}
    experiment = tiny.experiment(data_dir, evaluate__lengths=(6,), **changes)
    tiny.execute("eval", experiment, tmp_path, str(trained))
    motion = json.loads((tmp_path / "eval" / "motion.json").read_text())
    # 2 clips. The runner covers 12.5 pixels of 32, of 8 in the clip 3.1: not far enough to judge.
    assert motion["same_motion"]["pairs"] == 2
    assert 0 <= motion["same_motion"]["right"] <= 1
    assert motion["different_motion"] == {"pairs": 0, "right": None, "by_chance": None}
