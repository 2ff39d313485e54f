"""Configs that were stored before some of their fields existed."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import pytest
import tiny

from stiid.config.curriculum import Stage
from stiid.config.experiment import Experiment
from stiid.training.digest import change_json
from stiid.training.locate import RELEASES
from stiid.training.migration import CAME_LATER, CAME_LATER_TO_STAGES, migrate, without_later
from stiid.training.released import Release
from stiid.training.restore import restore_model
from stiid.typed_config import parse, to_dict


def of_before(config):
    """A config without all fields that came later."""
    old = json.loads(json.dumps(config))
    for name in CAME_LATER:
        *sections, leaf = name.split(".")
        functools.reduce(dict.__getitem__, sections, old).pop(leaf, None)
    for stage in old["train"]["stages"].values():
        del stage["micro_batches"]
    return old


def test_what_came_later_is_what_was_done_before(tmp_path):
    """Later fields get the value of the old behavior, not the default; ``unroll`` is an example."""
    stored = of_before(to_dict(tiny.experiment(tmp_path)))
    kept = json.loads(json.dumps(stored))
    migrated = parse(Experiment, migrate(stored))
    assert stored == kept
    assert migrated.model.inference.unroll == 0 != type(migrated.model.inference)().unroll
    assert migrated.model.decoder["modulated"] is False
    assert migrated.model.inference.last_decode is True
    assert migrated.data.options["law"] == "rnem"
    assert migrated.train.stages["stage_1"].micro_batches == 1
    assert (migrated.train.max_skips, migrated.evaluate.restarts) == (50, 1)


def test_what_is_stored_stays(tmp_path):
    stored = json.loads(json.dumps(to_dict(tiny.experiment(tmp_path, train__max_skips=7))))
    assert migrate(stored) == stored


def test_a_section_of_another_family_is_left_alone(tmp_path):
    stored = to_dict(tiny.experiment(tmp_path))
    stored["model"] = {"family": "rnem", "num_slots": 5}
    assert migrate(stored)["model"] == stored["model"]


def test_a_missing_section_is_named(tmp_path):
    stored = to_dict(tiny.experiment(tmp_path))
    del stored["model"]["inference"]
    with pytest.raises(ValueError, match="a stored config has no section 'inference'"):
        migrate(stored)


OPEN = ("data.options", "train.stages", "evaluate.model")  # sections without fields of their own
# All fields of a config at the time when the first ones got defaults, but for stages.
FIRST = json.loads(Path(__file__).with_name("fields_of_before.json").read_text(encoding="utf-8"))


def leaves(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in OPEN:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_a_new_field_says_what_was_done_before_it(tmp_path):
    """It is entered into ``SINCE_DEFAULTS``: its default may not fit, or may change."""
    assert set(leaves(to_dict(tiny.experiment(tmp_path)))) <= {*FIRST, *CAME_LATER}
    known = {"steps", "num_frames", "batch_size", "model", "optim", *CAME_LATER_TO_STAGES}
    assert {field.name for field in dataclasses.fields(Stage)} <= known


@pytest.mark.parametrize("name", sorted(path.name for path in RELEASES.iterdir()))
def test_released_models_are_read_without_what_came_later(name):
    """Their decoders and refiners have parameters that a wrong value would not fit."""
    release = Release(RELEASES / name)
    now = release.config(release.choose("latest"))
    assert parse(Experiment, migrate(without_later(now))) == parse(Experiment, migrate(now))


def test_names_leave_out_what_came_later_and_changes_nothing(tmp_path):
    config = to_dict(tiny.experiment(tmp_path))
    assert without_later({**config, "data": {**config["data"], "pieces": True}})["data"]["pieces"]
    assert "pieces" not in without_later(config)["data"]
    assert without_later({"train": {}}) == {"train": {}}


def test_a_checkpoint_of_before_is_restored(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "checkpoints" / "6" / "config" / "metadata"
    config = json.loads(path.read_text())
    # what decides the shapes of the parameters and was not always there is kept
    kept = config["model"]["decoder"]["modulated"]
    old = of_before(config)
    old["model"]["decoder"]["modulated"] = kept
    change_json(run / "checkpoints" / "6", "config", old)
    experiment, state, _ = restore_model(None, run, "latest")
    assert (int(state.step), experiment.train.max_skips) == (6, 50)
