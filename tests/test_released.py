"""Released models fit this version, and do what the README says."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tiny

import stiid
from experiments import release
from stiid.data import registry
from stiid.training.locate import RELEASES, stored_batch_sizes
from stiid.training.released import Release
from stiid.training.restore import restore_model

NAMES = sorted(path.name for path in RELEASES.iterdir())


def test_the_results_list_them():
    readme = (tiny.ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `stiid://(\w+)`", readme, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_this_version(name, tmp_path):
    """And holds parameters and the config alone, in few bytes."""
    experiment, state, _ = restore_model(None, tmp_path, f"stiid://{name}")
    assert int(state.step) == Release(RELEASES / name).choose("best") > 0
    assert state.opt_state == {}
    assert not list(tmp_path.iterdir())
    files = sorted(file.name for file in (RELEASES / name).iterdir())
    assert files == ["model.json", "params.npz"]
    assert sum((RELEASES / name / file).stat().st_size for file in files) < 3e6
    assert stored_batch_sizes(RELEASES / name) == [experiment.evaluate.batch_size]


def test_a_release_restores_the_parameters_bit_by_bit(trained, tmp_path):
    experiment, state, _ = restore_model(None, trained, "latest")
    release.main(["tiny", f"--workdir={trained}", f"--folder={tmp_path}"])
    copied, released, _ = restore_model(None, tmp_path, str(tmp_path / "tiny"))
    tiny.assert_same(released.params, state.params)
    assert int(released.step) == int(state.step)
    assert copied == dataclasses.replace(
        experiment, data=dataclasses.replace(experiment.data, data_dir="~/.cache/stiid")
    )


def test_what_a_release_lacks_is_named(trained, data_dir, tmp_path):
    release.main(["tiny", f"--workdir={trained}", f"--folder={tmp_path}"])
    where, params = str(tmp_path / "tiny"), tmp_path / "tiny" / "params.npz"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 5 in .*, only 6"):
        Release(tmp_path / "tiny").choose("5")
    with pytest.raises(ValueError, match="num_slots is 3 there and 4 here"):
        restore_model(tiny.experiment(data_dir, model__num_slots=4), tmp_path, where)
    with np.load(params) as file:
        arrays = dict(file)
    name = min(arrays)
    np.savez(params, **{**arrays, name: arrays[name][..., :1]})
    with pytest.raises(ValueError, match=rf"{name} has shape \(.*\) there and \(.*\) here"):
        restore_model(None, tmp_path, where)
    del arrays[name]
    np.savez(params, **arrays)
    with pytest.raises(ValueError, match=f"not the parameters of this model: {name}"):
        restore_model(None, tmp_path, where)
    params.write_bytes(params.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cannot read .*params\.npz .*: install the package anew"):
        restore_model(None, tmp_path, where)
    (tmp_path / "tiny" / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"cannot read .*model\.json \('step'\)"):
        restore_model(None, tmp_path, where)


def test_training_does_not_resume_from_a_release(data_dir, tmp_path):
    shutil.copytree(RELEASES / "quickstart", tmp_path / "run" / "checkpoints")
    with pytest.raises(ValueError, match="holds a released model, which has no optimizer state"):
        tiny.execute("train", tiny.experiment(data_dir), tmp_path / "run")
    with pytest.raises(ValueError, match="training takes no --checkpoint: it resumes"):
        tiny.execute("train", tiny.experiment(data_dir), tmp_path, "stiid://quickstart")


@pytest.mark.slow
def test_it_tells_balls_apart(tmp_path):
    """On eight clips with a single noise sample; on 128 with eight noise samples F-ARI is 0.99."""
    experiment, _, _ = restore_model(None, tmp_path, "stiid://quickstart")
    options = {**experiment.data.options, "train": 0, "validation": 8}
    experiment = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, data_dir=str(tmp_path / "data"), options=options),
        evaluate=dataclasses.replace(
            experiment.evaluate, clips=8, batch_size=8, lengths=(10,), restarts=1
        ),
    )
    tiny.execute("eval", experiment, tmp_path / "run", checkpoint="stiid://quickstart")
    scores = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())["lengths"]["10"]
    assert scores["f_ari"] == pytest.approx(0.975, abs=0.01)
    assert scores["mse"] == pytest.approx(0.00325, rel=0.03)


@pytest.mark.slow
def test_it_simulates_where_balls_go(tmp_path):
    """On eight clips; on 128 the F-ARI of the third simulated frame is 0.83."""
    data = restore_model(None, tmp_path, "stiid://masks_quick")[0].data
    options = {**data.options, "train": 0, "validation": 8, "frames": 13}
    source = registry.load(data.name, "validation", data_dir=str(tmp_path), **options)
    video, masks = (np.stack([source[i][name] for i in range(8)]) for name in ("video", "masks"))
    with tiny.quick_compilation():
        result = stiid.load("masks_quick").predict(video[:, :10], num_frames=3)
    future = stiid.score(result.masks[:, 10:], masks[:, 10:])
    copied = stiid.score(result.masks[:, [9, 9, 9]], masks[:, 10:])
    assert future["f_ari"] > 0.75 > 0.6 > copied["f_ari"]
    assert future["recall"] > 0.9 > copied["recall"]


@pytest.mark.slow
def test_the_readme_uses_one_from_python(tmp_path, monkeypatch):
    readme = (tiny.ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 5
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with tiny.quick_compilation():
        exec(code, names)
    result = names["result"]
    assert result.masks.shape == (40, 6, 32, 32)
    assert names["future"].means.shape == (10, 6, 32, 32, 3)
    np.testing.assert_allclose(result.masks.sum(1), 1.0, rtol=1e-5)
    assert (tmp_path / "runs" / "sample" / "sheet.png").exists()


def test_release_says_nothing_of_the_machine(tmp_path):
    experiment, _, _ = restore_model(None, tmp_path, "stiid://clevrer_small")
    options = {**experiment.data.options, "path": str(tmp_path / "videos")}
    data = dataclasses.replace(experiment.data, options=options, data_dir=str(tmp_path / "data"))
    config = release.portable(dataclasses.replace(experiment, data=data))
    assert str(tmp_path) not in json.dumps(config)
    assert config["data"]["options"]["path"] == "videos"
    assert config["data"]["data_dir"] == "~/.cache/stiid"


def test_a_release_replaces_one_of_that_name(trained, tmp_path):
    for _ in range(2):
        release.main(["tiny", f"--workdir={trained}", f"--folder={tmp_path}"])
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
