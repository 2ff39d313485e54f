"""What is kept of older results."""

import json

import pytest

from stiid.cli.results import keep_older

CONTENT = {"step": 6, "data": "balls:validation", "config": {"seed": 0, "lengths": (2, 4)}}


@pytest.mark.parametrize("folder", [False, True])
def test_results_of_other_settings_get_another_name(tmp_path, folder, told):
    path = tmp_path / ("predict" if folder else "metrics.json")

    def write(**changes):
        file = path / "metrics.json" if folder else path
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**CONTENT, "f_ari": 0.5, **changes}))

    keep_older(path, CONTENT)
    assert told.messages == []
    write()
    keep_older(path, CONTENT)  # the same again
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    for number in (1, 2):
        write(step=number)
        keep_older(path, CONTENT)
        assert not path.exists()
        aside = tmp_path / (
            f"predict_{number}/metrics.json" if folder else f"metrics_{number}.json"
        )
        assert json.loads(aside.read_text())["step"] == number
    assert told.messages[0].startswith(f"the older {path.name}, of another model")


def test_damaged_results_are_kept_too(tmp_path):
    (tmp_path / "metrics.json").write_text("{")
    keep_older(tmp_path / "metrics.json", CONTENT)
    assert (tmp_path / "metrics_1.json").read_text() == "{"
