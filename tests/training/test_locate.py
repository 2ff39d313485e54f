"""Every way to name a checkpoint."""

import pytest

from stiid.training.locate import locate


def test_every_way_to_name_a_checkpoint(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    (folder / "12" / "config").mkdir(parents=True)
    here = tmp_path / "here"
    assert locate(here, "latest") == (here / "checkpoints", "latest")
    assert locate(here, "best") == (here / "checkpoints", "best")
    assert locate(here, str(tmp_path / "run")) == (folder, "latest")
    assert locate(here, str(folder)) == (folder, "latest")
    assert locate(here, str(folder / "12")) == (folder, "12")
    (tmp_path / "2024").mkdir()  # a run that is not trained yet
    assert locate(here, str(tmp_path / "2024")) == (tmp_path / "2024", "latest")


def test_a_released_model_is_named(tmp_path, monkeypatch):
    (tmp_path / "balls" / "7").mkdir(parents=True)
    (tmp_path / "solids").mkdir()
    (tmp_path / "README.md").touch()
    monkeypatch.setattr("stiid.training.locate.RELEASES", tmp_path)
    assert locate(tmp_path / "here", "stiid://balls") == (tmp_path / "balls", "latest")
    for wrong in ("stiid://", "stiid://ball", "stiid://balls/7", "stiid://..", "stiid://README.md"):
        with pytest.raises(FileNotFoundError, match="only stiid://balls, stiid://solids"):
            locate(tmp_path, wrong)
