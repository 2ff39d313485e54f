"""What flaws of masks cost, against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from experiments import flawed_masks

_FIRST = [[1, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2]]
_SECOND = [[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]]
MASKS = np.array([[_FIRST] * 2, [_SECOND] * 2], np.uint8)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("an object in the background's slot", [[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2]]),
        ("two objects in a slot", [[2, 2, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2]]),
        ("objects a pixel wider", [[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 2, 2]]),
        ("background in halves", [[1, 1, 0, 0], [4, 4, 4, 2], [4, 4, 4, 2]]),
    ],
)
def test_scores_of_flaws(name, first):
    flaw = flawed_masks.FLAWS[name]
    slots = flaw(MASKS)
    np.testing.assert_array_equal(slots[0, 0], first)
    pairs = list(zip(MASKS, slots, strict=True))
    oracle = {
        "ari": [adjusted_rand_score(true.ravel(), found.ravel()) for true, found in pairs],
        "f_ari": [adjusted_rand_score(true[true > 0], found[true > 0]) for true, found in pairs],
    }
    expected = {score: round(float(np.mean(values)), 4) for score, values in oracle.items()}
    assert flawed_masks.scores(MASKS, flaw) == expected


def test_command(tmp_path, monkeypatch, capsys):
    config = flawed_masks.load_config("configs/quickstart.py")
    config.data.data_dir = str(tmp_path)
    config.data.options.update(train=0, validation=0, test=3)
    monkeypatch.setattr(flawed_masks, "load_config", lambda name: config)
    output = tmp_path / "flaws.json"
    flawed_masks.main(["--config=quickstart", f"--output={output}", "--frames=99"])
    content = json.loads(output.read_text())
    assert (content["clips"], content["frames"]) == (3, 30)
    assert content["scores"]["objects a pixel wider"]["f_ari"] == 1
    assert 0 < content["scores"]["objects a pixel wider"]["ari"] < 1
    assert "background in halves: ARI" in capsys.readouterr().out
