"""Config files: how they are found, what they may say, and what is filled in."""

import re
import sys

import pytest
import tiny

from stiid.config import extend, files
from stiid.config.experiment import Experiment
from stiid.config.files import find, load
from stiid.config.resolve import load_complete, load_experiment, resolved
from stiid.typed_config import parse

BASE = {
    "data": {"name": "bouncing_balls", "max_frames": 9, "options": {"box": 7.0, "frames": 9}},
    "model": {"num_slots": 3, "decoder": {"features": 8}},
    "train": {"stages": [{"steps": 1, "num_frames": 2, "batch_size": 8}]},
    "evaluate": {"lengths": (2, 4)},
}


def write(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def test_a_name_is_a_path_or_a_file_of_the_package(tmp_path, monkeypatch):
    own = write(tmp_path, "def get_config(name='a'):\n    return {'data': {'name': name}}\n")
    monkeypatch.chdir(tmp_path)
    assert find("clevrer") == files.CONFIGS / "clevrer.py"
    assert load("mine.py") == load(own) == {"data": {"name": "a"}}
    assert load("mine.py:b") == {"data": {"name": "b"}}
    with pytest.raises(FileNotFoundError, match=r"no config file clever: name a file, or one of b"):
        find("clever")


def test_a_copy_elsewhere_works(tmp_path, monkeypatch):
    """Though it imports other config files, and the checkout is not on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tiny.ROOT))])
    for name in [name for name in sys.modules if name.split(".")[0] == "configs"]:
        monkeypatch.delitem(sys.modules, name)
    copied = write(tmp_path, (files.CONFIGS / "clevrer.py").read_text())
    before = list(sys.path)
    assert load(f"{copied}:small") == load("clevrer:small")
    assert sys.path == before


def test_without_the_configs_of_the_package_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CONFIGS", tmp_path / "configs")
    monkeypatch.setitem(sys.modules, "configs", None)
    own = write(tmp_path, "import configs\n")
    with pytest.raises(ValueError, match=r"mine\.py imports configs of this package, but there"):
        load(own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no function get_config"),
        ("def get_config():\n    return 3\n", "get_config must return a dict, got 3"),
        ("def get_config():\n    return 3 +\n", r"mine\.py does not run: SyntaxError: .*line 2"),
        ("def get_config():\n    return unknown\n", "does not run: NameError: name 'unknown'"),
    ],
)
def test_mistakes_in_files_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, text))


def test_what_fails_inside_of_a_file_is_left_as_it_is(tmp_path):
    with pytest.raises(ValueError, match=r"does not run: ModuleNotFoundError: .*no_such_module"):
        load(write(tmp_path, "import no_such_module\n"))


def test_sections_are_merged_field_by_field():
    config = extend(BASE, model={"decoder": {"layers": 2}}, data={"options": {"box": 5.0}}, seed=4)
    assert config["model"] == {"num_slots": 3, "decoder": {"features": 8, "layers": 2}}
    assert config["data"]["options"] == {"box": 5.0, "frames": 9}
    assert config["evaluate"]["lengths"] == (2, 4)
    assert config["seed"] == 4
    assert BASE["model"] == {"num_slots": 3, "decoder": {"features": 8}}


def test_another_kind_of_section_starts_from_its_defaults():
    config = extend(BASE, data={"name": "own_video"}, model={"family": "rnem"})
    assert config["data"] == {"name": "own_video"}
    assert config["model"] == {"family": "rnem"}


def test_a_list_of_stages_replaces_those_before():
    stage = {"steps": 5, "num_frames": 3, "batch_size": 8}
    assert list(extend(BASE)["train"]["stages"]) == ["stage_0"]
    config = extend(BASE, train={"stages": [stage, stage]})
    assert config["train"]["stages"] == {"stage_0": stage, "stage_1": stage}
    config = extend(config, train={"stages": {"stage_1": {"steps": 6}}})
    assert config["train"]["stages"] == {"stage_0": stage, "stage_1": {**stage, "steps": 6}}


def test_every_field_is_there_to_be_overridden(tmp_path):
    """Those of leaves, of data and of stages as well; K at test follows K in training."""
    own = write(tmp_path, "def get_config():\n    return {'data': {'name': 'bouncing_balls'}}\n")
    config = load_complete(own)
    assert config["model"]["refiner"]["forget_scale"] == 1.0
    assert config["data"]["options"]["micro_steps"] == 2
    assert config["train"]["stages"]["stage_4"]["num_frames"] == 40
    config["model"]["num_slots"] = 7
    assert parse(Experiment, config).evaluate.num_slots == 7


def test_the_resolved_whole_marks_what_differs():
    lines = resolved(load_experiment("clevrer:small")).splitlines()
    assert "model.num_slots = 6  # 5" in lines
    assert "data.options.masks = 'annotations'" in lines
    assert "train.stages.stage_1.num_frames = 4  # 8" in lines
    assert "optim.clip_norm = 5.0" in lines
    assert not any("<" in line for line in lines)


EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_readme_shows_a_config_of_ones_own(tmp_path, monkeypatch):
    """Under 15 lines: another K, 48×48, own data."""
    readme = (files.CONFIGS / "README.md").read_text(encoding="utf-8")
    (text,) = EXAMPLE.findall(readme)
    assert len(text.splitlines()) < 15
    own = write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment(own)
    assert (experiment.model.num_slots, experiment.evaluate.num_slots) == (7, 7)
    assert (experiment.data.options["height"], experiment.data.options["width"]) == (48, 48)
    assert experiment.model.build((48, 48, 3)).num_slots == 7


@pytest.mark.slow
def test_the_config_of_the_readme_trains_a_step(tmp_path, monkeypatch, use_devices):
    (text,) = EXAMPLE.findall((files.CONFIGS / "README.md").read_text(encoding="utf-8"))
    for name in ("one", "two"):
        tiny.write_video(tmp_path / "videos" / f"{name}.mp4", frames=24)
    monkeypatch.chdir(tmp_path)
    config = extend(write(tmp_path, text), model={"latent_size": 4, "refiner": {"features": 4}})
    stage = {"steps": 1, "num_frames": 2, "batch_size": 2}
    config = extend(
        config,
        data={"options": {"path": "videos", "validation": 0.5}},
        train={"stages": [stage]},
        evaluate={"batch_size": 1, "clips": 1, "lengths": (2,), "restarts": 1},
    )
    use_devices(1)
    tiny.train(parse(Experiment, config), tmp_path / "run")
    assert int(tiny.state(tmp_path / "run").step) == 1
