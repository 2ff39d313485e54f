"""Every config file parses, fits together at its full size, and trains a step when shrunk."""

import json

import jax
import numpy as np
import official
import pytest
import tiny
from idx_files import write_idx
from ml_collections import ConfigDict
from movi_files import write_movi

from experiments.config_files import load_config
from stiid.config.experiment import Experiment
from stiid.config.files import load_module
from stiid.config.resolve import load_experiment
from stiid.data import registry
from stiid.data.balls.bouncing_balls import BallsSpec
from stiid.data.balls.r_nem_writer import write_r_nem
from stiid.typed_config import parse

FILES = {path.stem: load_module(path) for path in sorted((tiny.ROOT / "configs").glob("*.py"))}
CONFIGS = [
    f"{stem}:{variant}" if variant else stem
    for stem, module in FILES.items()
    for variant in getattr(module, "VARIANTS", (None,))
]


def small_balls(folder):
    return {"resolution": 8, "frames": 3, "train": 4, "validation": 2, "test": 2}


def small_r_nem(folder):
    spec = BallsSpec(resolution=8, frames=3, train=4, validation=2, test=2)
    write_r_nem(folder / "balls.h5", spec, curtain=False)
    return {"path": str(folder / "balls.h5"), "resolution": 8, "frames": 3}


def small_grand_central(folder):
    tiny.write_video(folder / "station.avi", frames=40, width=720, height=480)
    return {
        "path": str(folder / "station.avi"),
        "resolution": 8,
        "frames": 3,
        "stride": 1,
        "gap": 2,
        "train": 0.5,
        "validation": 0.25,
        "test": 0.25,
    }


def small_own_video(folder):
    for name in ("one", "two"):
        tiny.write_video(folder / "videos" / f"{name}.mp4", frames=8)
    return {"path": str(folder / "videos"), "height": 8, "width": 8, "frames": 3}


def small_clevrer(folder):
    for number in (0, 1, 2, 10_000, 10_001):
        scene = official.SIX if number >= 10_000 else official.MOVING
        official.write(folder / "clevrer", number, scene)
        official.write(folder / "clevrer", number + 10, official.MOVING)
    sizes = {"resolution": 16, "frames": 3, "train_frames": 0, "validation": 2}
    return {"path": str(folder / "clevrer"), **sizes}


def small_movi(folder):
    for variant in "abcde":
        write_movi(folder / "movi", variant=variant)
    return {"path": str(folder / "movi"), "resolution": 8, "frames": 3}


def small_digits(folder):
    path = write_idx(folder / "digits.gz", np.full((20, 28, 28), 200, np.uint8))
    return {**small_balls(folder), "path": str(path)}


# Makes a source's options small; it may write files for that.
SMALL = {
    "bouncing_balls": small_balls,
    "r_nem": small_r_nem,
    "clevrer": small_clevrer,
    "movi": small_movi,
    "grand_central": small_grand_central,
    "own_video": small_own_video,
    "moving_digits": small_digits,
}


def shrink_stiid(model):
    model.update(latent_size=4, num_slots=3)
    model.decoder.update(features=4, layers=2, mlp_features=4)
    model.refiner.update(features=4, layers=1, hidden=4, lstm_features=4)
    model.prior.update(features=4)
    model.inference.refinements = fewest(model)


def fewest(model):
    """The smallest R of a grid."""
    return 2 if model.inference.grid == "trailing" else 1


def shrink_rnem(model):
    model.update(num_slots=3, features=(2, 2), hidden=4, state_size=4, attention_features=4)


def shrink_ddpae(model):
    model.update(num_slots=3, num_observed=2, features=2, frame_code=4, hidden=4, content=4)


def shrink_savi(model):
    model.update(num_slots=3, slot_size=4, heads=2, predictor_mlp=4, encoder_mlp=4)
    model.update(encoder_features=(4,), encoder_strides=(1,), decoder_features=(4,), doublings=1)


# Makes a family's networks small.
SHRINK = {"stiid": shrink_stiid, "rnem": shrink_rnem, "ddpae": shrink_ddpae, "savi": shrink_savi}


def shrink(config: ConfigDict, data_dir, folder) -> ConfigDict:
    """Keep the structure of a config, and make all sizes that cost time small."""
    with config.unlocked():
        config.data.update(data_dir=str(data_dir), max_frames=3)
        config.data.options.update(SMALL[config.data.name](folder))
        SHRINK[config.model.family](config.model)
        if config.model.family == "ddpae":
            config.data.options.resolution = 16  # it takes no smaller images
        for number, stage in enumerate(config.train.stages.values()):
            stage.update(steps=int(number == 0), num_frames=3, batch_size=2)
            if config.model.family == "stiid":
                stage.model.update({"inference": {"refinements": fewest(config.model)}})
                if "num_simulated" in stage.model.get("objective", {}):
                    stage.model.objective.num_simulated = 1
        config.train.stages = distinct(config.train.stages.to_dict())
        if config.model.family == "stiid":
            config.evaluate.model.update({"inference": {"refinements": fewest(config.model)}})
        restarts = min(config.evaluate.restarts, 2)
        config.evaluate.update(clips=2, batch_size=2, lengths=(2,), num_slots=3, restarts=restarts)
        config.predict.update(clips=1, num_observed=2, num_simulated=1)
    return config


def distinct(stages):
    """Stages, without those that equal an earlier one except for weights and rates."""
    kept = {}
    for name, stage in stages.items():
        model = {key: value for key, value in stage["model"].items() if key != "objective"}
        simulated = stage["model"].get("objective", {}).get("num_simulated", 0)
        kept.setdefault(json.dumps([model, simulated, stage["micro_batches"]]), (name, stage))
    return dict(kept.values())


@pytest.fixture(scope="module")
def trained_before():
    """Cache: trained config → its workdir."""
    return {}


@pytest.mark.parametrize("name", CONFIGS)
def test_it_fits_together(name):
    """Every stage builds at its full size; lengths and batches are possible."""
    experiment = load_experiment(name)
    options = registry.make_spec(experiment.data.name, **experiment.data.options)
    shape = (options.view.height, options.view.width, options.view.channels)
    for stage_name, stage in experiment.train.stages.items():
        system = experiment.at_stage(stage_name).model.build(shape)
        clip = getattr(options, "train_frames", 0) or options.frames
        assert stage.num_frames <= (experiment.data.max_frames or clip) <= clip
        assert stage.batch_size % 8 == 0
    params = jax.eval_shape(system.init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) > 10_000
    assert max(experiment.evaluate.lengths) <= options.frames
    predicted = experiment.predict.num_observed + experiment.predict.num_simulated
    assert predicted <= options.frames
    if isinstance(options, BallsSpec):
        assert options.counts[experiment.evaluate.split] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_it_trains_a_step(name, data_dir, tmp_path, use_devices, trained_before):
    """A variant without training is tested with the model of the variant that trains it."""
    use_devices(1)
    config = shrink(load_config(name), data_dir, tmp_path)
    experiment = parse(Experiment, config.to_dict())
    view = registry.view(experiment.data.name, **experiment.data.options)
    parts = (config[part].to_dict() for part in ("model", "optim", "train"))
    what = json.dumps([view.height, view.width, view.channels, *parts])
    workdir = tmp_path / "run"
    if what in trained_before:
        tiny.execute("eval", experiment, workdir, checkpoint=str(trained_before[what]))
    else:
        tiny.train(experiment, workdir)
        trained_before[what] = workdir
        assert int(tiny.state(workdir).step) == 1
        rows = [row for row in tiny.log(workdir) if row["split"] == "train"]
        assert [(row["step"], row["skipped"]) for row in rows] == [(1, 0)]
    assert tiny.scores(workdir)["clips"] == 2


@pytest.mark.parametrize("balls", ["small_binary", "small_color"])
def test_small_iodine_trains_on_single_frames_with_our_beta_and_without_gamma(balls):
    ours, iodine = (load_experiment(f"{name}:{balls}") for name in ("bouncing_balls", "iodine"))
    assert iodine.train.stages["stage_0"] == ours.train.stages["stage_0"]
    for name, stage in iodine.train.stages.items():
        weights = iodine.at_stage(name).model.objective
        assert (stage.num_frames, weights.num_simulated) == (1, 0)
        assert (weights.gamma, weights.slot_entropy, weights.largest_share) == (0.0, 0.0, 0.0)
    first, last = ours.train.order[0], ours.train.order[-1]
    assert iodine.at_stage(first).model.objective.beta == ours.at_stage(first).model.objective.beta
    last_of_iodine = iodine.at_stage(iodine.train.order[-1])
    assert last_of_iodine.model.objective.beta == ours.at_stage(last).model.objective.beta
    assert ours.at_stage(last).model.objective.num_simulated > 0


def test_unknown_variants_are_refused():
    variants = [module for module in FILES.values() if hasattr(module, "VARIANTS")]
    assert variants
    for module in variants:
        with pytest.raises(ValueError, match="expected one of"):
            module.get_config("nonsense")
