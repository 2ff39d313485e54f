"""Models that come with the package: they fit this version, and do what the README says."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tiny

from experiments import release
from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.training.checkpoints import RELEASES, Checkpoints, locate
from stiid.training.validate import trained_shapes
from stiid.typed_config import parse

NAMES = sorted(path.name for path in RELEASES.iterdir())


def test_the_results_list_them():
    readme = (tiny.ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `stiid://(\w+)`", readme, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_this_version(name, tmp_path):
    with Checkpoints(locate(tmp_path, f"stiid://{name}")[0]) as checkpoints:
        (step,) = checkpoints.steps()
        experiment = parse(Experiment, checkpoints.config(step))
        view = registry.view(experiment.data.name, **experiment.data.options)
        shape = (view.height, view.width, view.channels)
        state = checkpoints.state(step, trained_shapes(experiment, shape))
    assert int(state.step) == step
    size = sum(file.stat().st_size for file in (RELEASES / name).rglob("*") if file.is_file())
    assert size < 10e6


@pytest.mark.slow
def test_it_tells_balls_apart(tmp_path):
    """On eight clips with a single draw of noise; on 128 with eight draws F-ARI is 0.99."""
    with Checkpoints(RELEASES / "quickstart") as checkpoints:
        experiment = parse(Experiment, checkpoints.config(checkpoints.choose("latest")))
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
    assert scores["f_ari"] > 0.85
    assert scores["mse"] < 0.02


@pytest.mark.slow
def test_the_readme_uses_one_from_python(tmp_path, monkeypatch, quick_compilation):
    readme = (tiny.ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    video = np.random.default_rng(0).integers(0, 256, (2, 3, 24, 24, 3), np.uint8)
    np.save("clips.npy", video)
    names: dict = {}
    with tiny.quick_compilation():
        exec(code, names)
    result = names["result"]
    assert result.masks.shape == (2, 3 + 5, 4, 24, 24)
    assert result.means.shape == (2, 3 + 5, 4, 24, 24, 3)
    assert result.latents.z.shape == (2, 3 + 5, 4, 32)
    np.testing.assert_allclose(result.masks.sum(2), 1.0, rtol=1e-5)


def test_release_says_nothing_of_the_machine(tmp_path):
    checkpoints = tmp_path / "run" / "checkpoints"
    shutil.copytree(RELEASES / "clevrer_small", checkpoints)
    (step,) = checkpoints.iterdir()
    config = step / "config" / "metadata"
    content = json.loads(config.read_text())
    content["data"]["options"]["path"] = str(tmp_path / "videos")
    content["data"]["data_dir"] = str(tmp_path / "generated")
    config.write_text(json.dumps(content))
    (step / "commit_success.txt").write_text(f"written to {tmp_path}")

    folder = tmp_path / "released"
    for _ in range(2):  # the second replaces the first
        release.main(["solids", f"--workdir={tmp_path / 'run'}", f"--folder={folder}"])
    assert [path.name for path in folder.iterdir()] == ["solids"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == sum(path.is_file() for path in checkpoints.rglob("*"))
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in files)
    stored = json.loads((folder / "solids" / step.name / "config" / "metadata").read_text())
    assert stored["data"]["options"]["path"] == "videos"
    assert stored["data"]["data_dir"] == "~/.cache/stiid"
