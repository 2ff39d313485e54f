"""Notebooks: stored without outputs, and run from top to bottom on the tiny experiment."""

import nbformat
import pytest
import tiny
from nbclient import NotebookClient

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
        ("quickstart", ["image/png", "image/gif", "text/html"]),
        ("evaluate_checkpoint", ["image/gif"]),
        ("own_video", ["text/html", "image/png"]),
        ("latent_walk", ["image/png", "image/png"]),
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
