"""Files of the authors' models: which are refused, and how they are imported."""

import numpy as np
import provide_recipe as recipe
import pytest
import tiny

from configs import iodine as iodine_config
from configs import provide as provide_config
from experiments.benchmarks.faults import torch_files
from stiid.config import extend
from stiid.config.experiment import Experiment
from stiid.interop.provide import import_params, is_provide
from stiid.interop.pytorch_iodine import import_params as import_iodine
from stiid.typed_config import parse

LATENT, SLOTS, EVALUATIONS = 4, 3, 3
SIZES = {"latent": LATENT, "hidden": 7, "image": 8}


def experiment(base=None):
    """A small model of ``configs/provide.py:color``, or of another config of the same sizes."""
    width = {"features": 6}
    config = extend(
        base or provide_config.get_config("color"),
        data={"options": {"resolution": 8}},
        model={
            "latent_size": LATENT,
            "num_slots": SLOTS,
            "decoder": width,
            "refiner": width | {"hidden": 7, "lstm_features": 7},
            "inference": {"refinements": EVALUATIONS - 1},
        },
    )
    if base is None:
        config = extend(
            config, model={"decoder": {"mlp_features": LATENT}, "prior": {"features": 7}}
        )
    return parse(Experiment, config)


def draw_state():
    params = recipe.draw_params(width=6, **SIZES)
    return params | recipe.draw_buffers(evaluations=EVALUATIONS, slots=SLOTS, **SIZES)


def test_a_state_is_known_by_its_lstm():
    state = draw_state()
    assert is_provide(state)
    del state["refine_net.lstm.W_hor.weight"]
    assert not is_provide(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"T": np.array(6)}, r"--config.model.inference.refinements=5 \(not 2\)"),
        ({"K": np.array(5)}, r"--config.model.num_slots=5 \(not 3\)"),
        ({"z_dim": np.array(64)}, r"--config.model.latent_size=64 \(not 4\)"),
        ({"var_x": np.float32(0.09)}, r"--config.model.inference.variance=0.09 \(not 0.3\)"),
        ({"K": None}, "not a state_dict of PROVIDE: it has no number 'K'"),
        ({"T": np.zeros(2)}, "it has no number 'T'"),
        (
            {"decoder.conv_layer.0.weight": np.zeros((64, 6, 5, 5))},
            r"--config.model.decoder.features=64 \(not 6\), "
            r"--config.model.decoder.kernel_size=5 \(not 3\)",
        ),
        ({"decoder.conv_layer.10.weight": np.zeros(1)}, r"decoder.layers=5 \(not 4\)"),
        ({"decoder.pre_mlp.0.weight": np.zeros((9, 11))}, r"decoder.mlp_features=9 \(not 4\)"),
        (
            {"refine_net.convnet.model.0.weight": np.zeros((64, 32, 3, 3))},
            r"--config.model.refiner.features=64 \(not 6\)",
        ),
        ({"refine_net.convnet.model.8.weight": np.zeros(1)}, r"refiner.layers=5 \(not 4\)"),
        ({"refine_net.fc_in.0.weight": np.zeros((128, 24))}, r"refiner.hidden=128 \(not 7\)"),
        ({"refine_net.fc_out.weight": np.zeros((8, 128))}, r"refiner.lstm_features=128 \(not 7\)"),
        ({"prior.0.weight": np.zeros((128, 7))}, r"--config.model.prior.features=128 \(not 7\)"),
        ({"lmbda0": None}, r"missing \['lmbda0'\]"),
        ({"feature_extractor.0.4.squeeze.bias": None}, r"missing \['feature_extractor.0.4.squeeze"),
        ({"h1": np.zeros(1)}, r"unknown \['h1'\]"),
        ({"x_grid": np.zeros((1, 1, 1, 64, 64))}, r"for images of \(64, 64\), not \(8, 8\): set"),
        ({"y_grid": np.zeros((1, 1, 1, 8, 8))}, "y_grid differs from the coordinates"),
        ({"lmbda0": np.zeros((1, 10))}, r"\['posterior'\] has shape \(10,\) in the file and \(8,"),
        ({"lmbda0": np.full((1, 8), np.nan)}, r"\['posterior'\] is not finite"),
        ({"prior_mean.weight": np.zeros((5, 7))}, "concat|shape"),
        ({"refine_net.lstm.W_x.weight": np.zeros((28, 23))}, r"\['lstm'\]\['input'\]\['kernel'\]"),
        ({"refine_net.fc_out.weight": np.zeros(3)}, "neither linear nor convolution"),
    ],
)
def test_files_of_other_models_are_refused(changes, message):
    state = {k: v for k, v in (draw_state() | changes).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        import_params(state, experiment().model, (8, 8, 3))


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("refiner", "squeezenet", False, r"--config.model.refiner.squeezenet=True \(not False\)"),
        ("refiner", "cell", "graves", r"--config.model.refiner.cell=mixing \(not graves\)"),
        ("inference", "first_sample", "posterior", r"first_sample=clip \(not posterior\)"),
        ("inference", "posterior_start", "prior", r"posterior_start=learned \(not prior\)"),
        ("decoder", "mlp_elu", False, r"--config.model.decoder.mlp_elu=True \(not False\)"),
        ("prior", "form", "log_std", r"--config.model.prior.form=softplus \(not log_std\)"),
        ("objective", "step_weights", "linear", r"step_weights=shared \(not linear\)"),
    ],
)
def test_configs_of_other_procedures_are_refused(section, field, value, message):
    config = extend(provide_config.get_config("color"), model={section: {field: value}})
    with pytest.raises(ValueError, match=message):
        import_params(draw_state(), experiment(config).model, (8, 8, 3))


def iodine_case():
    """A state of IODINE and an experiment that it belongs to, of the same sizes."""
    import iodine_oracle

    sizes = SIZES | {"width": 6, "lstm": 7}
    state = iodine_oracle.draw_state(evaluations=EVALUATIONS, slots=SLOTS, **sizes)
    return state, experiment(
        extend(iodine_config.get_config("color"), model={"objective": {"beta": 10.0}})
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["provide", "iodine"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_command_imports_a_file(tmp_path, name, prefix):
    """With DataParallel's prefix too; the run's checkpoint has the file's parameters."""
    if name == "provide":
        state, one, importer = draw_state(), experiment(), import_params
    else:
        (state, one), importer = iodine_case(), import_iodine
    path = tmp_path / "latest_net.pth"
    named = {f"{prefix}{key}": array for key, array in state.items()}
    path.write_bytes(torch_files.save(named, old=name == "iodine"))
    request = tiny.modes.Request(str(path))
    with tiny.quick_compilation():
        tiny.modes.run(
            "import", one, workdir=str(tmp_path / "run"), checkpoint="latest", video=request
        )
    tiny.assert_same(tiny.state(tmp_path / "run").params, importer(state, one.model, (8, 8, 3)))


def test_a_prefix_of_some_names_is_refused(tmp_path):
    """Such a file is of no model that is known."""
    state = draw_state()
    state["module.lmbda0"] = state.pop("lmbda0")
    path = tmp_path / "latest_net.pth"
    path.write_bytes(torch_files.save(state, old=False))
    with pytest.raises(ValueError, match=r"missing \['lmbda0'\], unknown \['module.lmbda0'\]"):
        tiny.modes.run(
            "import",
            experiment(),
            workdir=str(tmp_path / "run"),
            checkpoint="latest",
            video=tiny.modes.Request(str(path)),
        )
