"""Imported IODINE. Oracles: numbers of the PyTorch implementation, and NumPy in float64."""

import functools

import iodine_oracle
import jax
import numpy as np
import pytest
import tiny

from experiments.benchmarks.faults import torch_files
from experiments.config_files import load_config
from stiid.config.experiment import Experiment
from stiid.interop.pytorch_iodine import import_params
from stiid.interop.torch_file import read_state_dict
from stiid.method.inference import infer_video
from stiid.method.objective import loss
from stiid.typed_config import parse

# At 8×8, β is so small that the ε of the layer norms counts.
SMALL = {"latent": 4, "width": 6, "hidden": 7, "lstm": 5, "image": 8}
EVALUATIONS, SLOTS, BATCH = 3, 3, 2


def make_config(*, variant="color", sizes=None, squeezenet=False):
    """IODINE with 3 evaluations and 3 slots; its inner loss is a mean over 2 images."""
    config = load_config(f"iodine:{variant}")
    model = config.model
    with config.unlocked():
        model.inference.update(refinements=EVALUATIONS - 1, gradient_scale=1 / BATCH)
        model.num_slots = config.evaluate.num_slots = SLOTS
        model.refiner.squeezenet = squeezenet
        if sizes:
            config.data.options.resolution = sizes["image"]
            model.objective.beta = 0.01
            model.latent_size = sizes["latent"]
            model.decoder.features = model.refiner.features = sizes["width"]
            model.refiner.update(hidden=sizes["hidden"], lstm_features=sizes["lstm"])
    return config


def model_config(**options):
    return parse(Experiment, make_config(**options).to_dict()).model


def draw_state(sizes=None, **options):
    options = {**(sizes or {}), "beta": 0.01 if sizes else 10.0, **options}
    state = iodine_oracle.draw_state(evaluations=EVALUATIONS, slots=SLOTS, **options)
    if sizes:
        state["refine_net.convnet.model.0.weight"][:, 12] *= 10  # posterior masks, nearly uniform
    return state


def draw_inputs(image, latent):
    """Images and noise in PyTorch's layout."""
    rng = np.random.default_rng(1)
    x = rng.random((BATCH, 3, image, image)).astype(np.float32)
    return x, rng.normal(size=(EVALUATIONS, BATCH, SLOTS, latent)).astype(np.float32)


def run(config, params, x, noise):
    """What the engine makes of an image: as ``iodine_oracle.run``."""
    system = config.build((*x.shape[2:], 3))
    video = np.moveaxis(x, 1, -1)[:, None]

    @jax.jit
    def infer(params):
        result = infer_video(system.model, params, video, noise[None], system.objective.elbo)
        return result, loss(system.objective, system.model.inference, result, video)

    result, total = infer(params)
    (terms,), frames = result.terms, result.frames
    weights = system.objective.elbo
    losses = (weights.beta * terms.nll + weights.psi * terms.kl.sum(-1))[0].mean(-1)
    return {
        "total": total.total.mean(),
        "losses": losses,
        "masks": frames.masks[0],
        "means": frames.means[0],
        "lambda": np.concatenate(frames.posterior, -1)[0],
    }


def difference(ours, theirs):
    """The largest difference of any output, relative to that output's size."""
    return max(
        np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max() for name in ours
    )


# --- the PyTorch implementation -------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_size():
    """The state at 64×64."""
    return draw_state()


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
def test_forward_pass_is_that_of_pytorch(full_size, tmp_path, old):
    """Numbers of github.com/MichaelKevinKelly/IODINE c2c22df under PyTorch 2.13.0 on a CPU.

    T = 3, K = 3, beta = 10, no features; weights, images and noise of this file, the latter in
    place of ``randn_like``.
    """
    path = tmp_path / "iodine.th"
    path.write_bytes(torch_files.save(full_size, old=old))
    state = read_state_dict(path)
    assert all(np.array_equal(state[name], array) for name, array in full_size.items())
    if old:
        return  # the same tensors, so the same forward pass
    config = model_config()
    params = import_params(state, config, (64, 64, 3))
    out = run(config, params, *draw_inputs(64, 64))
    masks, means, posterior = out["masks"], out["means"], out["lambda"]
    for actual, expected in (
        (out["total"], 53071.445),
        (out["losses"], [26287.775, 25631.141, 27221.428]),
        (masks[0, :, 10, 20], [0.20972577, 0.5208343, 0.2694399]),
        (masks[1, :, 63, 0], [0.35835335, 0.2351051, 0.40654156]),
        (means[1, 2, 40, 5], [0.18731593, 0.14190829, 0.65903515]),
        (means[0, 0, 0, 63], [0.3112961, 0.44678795, 0.7094667]),
        (posterior[0, 0, :4], [1.2927434, 0.00588194, 0.5828288, 0.63604414]),
        (posterior[1, 2, 124:], [-0.4143266, 2.5718997, 1.6601316, 3.0330725]),
        (np.linalg.norm(posterior), 29.6148),
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("squeezenet", "count"), [(False, 2_648_324), (True, 2_780_052)])
def test_number_of_parameters(squeezenet, count):
    system = model_config(squeezenet=squeezenet).build((64, 64, 3))
    params = jax.eval_shape(system.init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    shapes = iodine_oracle.shapes(squeezenet=squeezenet)
    assert sum(np.prod(shape) for shape in shapes.values()) == count


# --- traps, at 8×8 --------------------------------------------------------------------------------


@functools.cache
def small(squeezenet):
    """The state, its inputs, and what the engine makes of them."""
    state, inputs = draw_state(SMALL, squeezenet=squeezenet), draw_inputs(8, 4)
    config = model_config(sizes=SMALL, squeezenet=squeezenet)
    with tiny.quick_compilation():
        return state, inputs, run(config, import_params(state, config, (8, 8, 3)), *inputs)


@pytest.mark.parametrize("squeezenet", [False, True])
def test_it_equals_numpy(squeezenet):
    state, inputs, ours = small(squeezenet)
    assert difference(ours, iodine_oracle.run(state, *inputs)) < 1e-5


@pytest.mark.parametrize("mistake", iodine_oracle.MISTAKES)
def test_it_makes_no_such_mistake(mistake):
    state, inputs, ours = small(False)
    assert difference(ours, iodine_oracle.run(state, *inputs, mistake=mistake)) > 1e-4


# --- files that do not fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"T": np.array(5)}, r"--config.model.inference.refinements=4 \(not 2\)"),
        ({"K": np.array(11)}, r"--config.model.num_slots=11 \(not 3\)"),
        ({"b": np.array(5)}, r"--config.model.objective.beta=5 \(not 0.01\)"),
        ({"var_x": np.float32(0.09)}, r"--config.model.inference.variance=0.09 \(not 0.3\)"),
        ({"z_dim": np.array(8)}, r"--config.model.latent_size=8 \(not 4\)"),
        ({"feature_extractor.x": np.zeros(1)}, r"refiner.squeezenet=True \(not False\)"),
        ({"h1": np.zeros(1)}, r"unknown \['h1'\]"),
        ({"lmbda0": None}, r"missing \['lmbda0'\]"),
        ({"T": None}, "no number 'T'"),
        ({"x_grid": np.zeros((1, 1, 1, 64, 64))}, r"for images of \(64, 64\), not \(8, 8\)"),
        ({"x_grid": np.zeros((1, 1, 1, 8, 8))}, "x_grid differs from the coordinates"),
        (
            {"lmbda0": np.zeros((1, 10))},
            r"\['posterior'\] has shape \(10,\) in the file and \(8,\)",
        ),
        ({"lmbda0": np.full((1, 8), np.nan)}, r"\['posterior'\] is not finite"),
        ({"refine_net.fc_out.weight": np.zeros(3)}, "neither linear nor convolution"),
        ({"refine_net.fc_in.0.weight": np.zeros((7, 23))}, "cannot reshape"),
        ({"refine_net.lstm.weight_ih": np.zeros((19, 23))}, "weight_ih|concat|array"),
    ],
)
def test_files_of_other_models_are_refused(changes, message):
    state = {k: v for k, v in (draw_state(SMALL) | changes).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        import_params(state, model_config(sizes=SMALL), (8, 8, 3))


def test_coordinates_in_the_other_order_are_refused():
    state = draw_state(SMALL)
    state["decoder.x_grid"], state["decoder.y_grid"] = (
        state["decoder.y_grid"],
        state["decoder.x_grid"],
    )
    with pytest.raises(ValueError, match=r"decoder.x_grid differs from the coordinates"):
        import_params(state, model_config(sizes=SMALL), (8, 8, 3))


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The workdir that an import leaves, and its experiment."""
    folder = tmp_path_factory.mktemp("import")
    config = make_config(sizes=SMALL)
    with config.unlocked():
        config.data.data_dir = str(folder / "data")
        config.data.options.update(frames=4, train=8, validation=8, test=8)
        config.evaluate.update(clips=8, batch_size=8, lengths=(2,))
        config.predict.update(clips=2, num_observed=3)
    (folder / "iodine.th").write_bytes(torch_files.save(draw_state(SMALL), old=True))
    experiment = parse(Experiment, config.to_dict())
    with tiny.quick_compilation():
        tiny.modes.run(
            "import",
            experiment,
            workdir=str(folder / "run"),
            checkpoint="latest",
            video=tiny.modes.Request(str(folder / "iodine.th")),
        )
    return folder, experiment


@pytest.mark.slow
def test_an_imported_model_evaluates_and_predicts(imported):
    folder, experiment = imported
    tiny.execute("eval", None, folder / "run")
    scores = tiny.scores(folder / "run")
    assert (scores["step"], scores["clips"]) == (0, 8)
    assert 0 < scores["lengths"]["2"]["mse"] < 1
    tiny.execute("predict", None, folder / "run")
    assert len(list((folder / "run" / "predict").glob("clip_*.gif"))) == 2
    params = import_params(draw_state(SMALL), experiment.model, (8, 8, 3))
    tiny.assert_same(tiny.state(folder / "run").params, params)


@pytest.mark.slow
def test_it_is_tested_as_seq_iodine_from_the_same_checkpoint(imported):
    folder, _ = imported
    config = make_config(variant="seq_color", sizes=SMALL)
    with config.unlocked():
        config.data.data_dir = str(folder / "data")
        config.data.options.update(frames=4, train=8, validation=8, test=8)
        config.evaluate.update(clips=8, batch_size=8, lengths=(2,))
    experiment = parse(Experiment, config.to_dict())
    tiny.execute("eval", experiment, folder / "sequence", checkpoint=str(folder / "run"))
    assert tiny.scores(folder / "sequence")["clips"] == 8


@pytest.mark.slow
def test_imports_that_cannot_be_are_refused(imported):
    folder, experiment = imported
    file = str(folder / "iodine.th")
    for given, path, message in (
        (None, file, "needs --config and --input"),
        (experiment, None, "needs --config and --input"),
        (experiment, file, "has checkpoints already"),
        (experiment, str(folder / "nothing.th"), "nothing.th"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            tiny.modes.run(
                "import",
                given,
                workdir=str(folder / "run"),
                checkpoint="latest",
                video=tiny.modes.Request(path),
            )
