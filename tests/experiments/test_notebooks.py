"""Notebooks: stored without outputs, and run from top to bottom on the tiny experiment."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import pytest
import tiny
from nbclient import NotebookClient

from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition
from stiid.models.spatiotemporal.model import SpatioTemporal

FOLDER = tiny.ROOT / "experiments" / "notebooks"
# The first one trains; the others find its checkpoint.
NAMES = ("quickstart", "evaluate_checkpoint", "own_video", "latent_walk")


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_all_notebooks_are_listed():
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {
        f"{n}.ipynb" for n in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_without_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.cells[1:6] == read(NAMES[0]).cells[1:6]  # install and settings are the same
    assert max(len(cell.source.splitlines()) for cell in cells) <= 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("quickstart", ["image/gif", "image/gif", "text/html"]),
        ("evaluate_checkpoint", ["image/gif", "text/html"]),
        ("own_video", ["text/html", "image/png"]),
        ("latent_walk", ["image/png", "image/png", "image/gif"]),
    ],
)
def test_a_notebook_runs(folder, monkeypatch, name, shows):
    """In its own folder, as Jupyter does; every cell works, and pictures come out."""
    environment = {**tiny.environment(), "STIID_SMOKE": str(folder), "JAX_NUM_CPU_DEVICES": "1"}
    environment |= {"IPYTHONDIR": str(folder / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    notebook = read(name)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}})
    client.execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    kinds = {"image/gif", "image/png", "text/html"}
    found = [next(iter(kinds & o.data.keys())) for o in outputs if kinds & o.get("data", {}).keys()]
    assert found == shows
    assert (folder / "run" / "checkpoints" / "2").is_dir()


def execute(name, begin, **names):
    """Run one cell, the one that begins so, and return all names."""
    (cell,) = [cell for cell in read(name).cells if cell.source.startswith(begin)]
    with jax.numpy_rank_promotion("allow"):
        exec(cell.source, names)
    return names


@pytest.mark.filterwarnings("ignore:Consider using IPython.display.IFrame")
@pytest.mark.parametrize(("labelled", "label"), [(True, "F-ARI"), (False, "MSE")])
def test_clips_without_true_masks_have_a_chart_too(labelled, label):
    """Two frames: both with the true masks, the second reconstructed with an error of 0.5."""
    true = np.zeros((1, 2, 2, 2), np.uint8)
    true[..., 0, :] = [1, 2]
    masks = np.moveaxis(np.eye(3)[true], -1, 2)
    pictures = np.zeros((1, 2, 2, 2, 1), np.float32)
    pictures[:, 1] = 0.5
    clips = Clips(np.zeros(pictures.shape, np.uint8), true if labelled else None, np.zeros(1))
    result = Decomposition(pictures, masks, masks[..., None], np.zeros((1, 2, 3)))
    evaluation = SimpleNamespace(preview=(clips, result))
    found = execute("evaluate_checkpoint", "import html", evaluation=evaluation)
    assert found["label"] == label
    assert found["points"] == ([(0, 1.0), (1, 1.0)] if labelled else [(0, 0.0), (1, 0.25)])
    assert label in found["text"]


@pytest.mark.parametrize("generation", [True, False])
def test_dimensions_are_ranked_with_and_without_the_hidden_state(
    make_model, random_params, generation
):
    model = make_model(kernel_size=1, generation=generation)
    names = {
        "system": SpatioTemporal(model, tiny.OBJECTIVE, num_slots=2),
        "params": random_params(model, dtype=np.float32),
        "posterior": SimpleNamespace(mean=jnp.zeros((2, 4))),
    }
    found = execute(
        "latent_walk",
        "from stiid.models.base import Latents",
        **{"jax": jax, "jnp": jnp, "np": np, "model": model, "slots": 2, "size": 4, **names},
    )
    assert found["effect"].shape == (2, 4)
    assert (found["effect"] > 0).all()
