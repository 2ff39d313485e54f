"""``stiid score``: the printed means against the API's, its file, and its mistakes."""

import json

import numpy as np
import pytest
from flawed_clips import flawed_clip

import stiid
from stiid.cli import console


@pytest.fixture
def clips(tmp_path):
    """Three clips in two folders; the last shows no object."""
    pairs = {f"clip_{seed}": flawed_clip(seed) for seed in (1, 2)}
    slots = pairs["clip_1"][1]
    pairs["nothing"] = (np.zeros_like(slots), slots)
    for side, folder in enumerate(("true", "found")):
        (tmp_path / folder).mkdir()
        for name, pair in pairs.items():
            np.save(tmp_path / folder / f"{name}.npy", pair[side])
    return pairs


def printed(capsys):
    return {
        name: float(value) for name, value in map(str.split, capsys.readouterr().out.splitlines())
    }


def test_means_over_clips_with_objects(clips, tmp_path, capsys):
    call = ["score", str(tmp_path / "found"), str(tmp_path / "true")]
    assert console.main([*call, f"--output={tmp_path / 'scores.json'}"]) == 0
    found = printed(capsys)
    ids, slots = (np.stack(part) for part in zip(*clips.values(), strict=True))
    expected = stiid.score(slots, ids)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    assert (found["clips"], found["clips_with_objects"]) == (3, 2)
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["scores"]["mota"] == pytest.approx(expected["mota"])
    assert content["clips"]["nothing"]["f_ari"] is None
    each = [content["clips"][name]["f_ari"] for name in ("clip_1", "clip_2")]
    assert np.mean(each) == pytest.approx(expected["f_ari"])


def test_a_single_clip(clips, tmp_path, capsys):
    names = [str(tmp_path / folder / "clip_1.npy") for folder in ("found", "true")]
    assert console.main(["score", *names]) == 0
    assert printed(capsys)["clips"] == 1


def test_nothing_to_score_is_said(clips, tmp_path, capsys):
    names = [str(tmp_path / folder / "nothing.npy") for folder in ("found", "true")]
    assert console.main(["score", *names]) == 0
    output = capsys.readouterr()
    assert "f_ari nan" in output.out
    assert "no clip shows an object" in output.err


def test_mistakes_are_one_line(clips, tmp_path, capsys):
    found, true = tmp_path / "found", tmp_path / "true"
    assert console.main(["score", str(found), str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: no masks at")
    (true / "clip_2.npy").unlink()
    assert console.main(["score", str(found), str(true)]) == 1
    assert "TRUE has none for 'clip_2'" in capsys.readouterr().err
    np.save(true / "clip_2.npy", clips["clip_2"][0][:4])
    assert console.main(["score", str(found), str(true)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: clip clip_2: predicted masks [12, 32, 32] and true_masks [4,")
    assert error.count("\n") == 1
