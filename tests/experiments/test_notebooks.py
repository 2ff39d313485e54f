"""Notebooks: stored with small outputs, and run from top to bottom on the tiny experiment."""

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import tiny
from nbclient import NotebookClient
from PIL import Image

from experiments import store_notebooks

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
def test_a_notebook_is_stored_with_small_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert store_notebooks.size(notebook) <= store_notebooks.MOST
    outputs = [output for cell in cells for output in cell.outputs]
    assert any(
        "image/png" in o.get("data", {}) or "image/gif" in o.get("data", {}) for o in outputs
    )
    assert all(cell.execution_count is None for cell in cells)
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    said = [f"{o.get('text', '')}{o.get('data', {}).get('text/plain', '')}" for o in outputs]
    assert not re.search(r"(?i)warning|/home/|/root/|/opt/|/tmp/|object at 0x", "".join(said))
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.cells[1:5] == read(NAMES[0]).cells[1:5]  # install and settings are the same
    assert max(len(cell.source.splitlines()) for cell in cells) <= 24


def test_large_outputs_are_left_out():
    page = {"text/html": "x" * 300_000, "text/plain": "<IPython.core.display.HTML object>"}
    image = {"image/png": "abcd", "text/plain": "<Image>"}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="a warning"),
        nbformat.v4.new_output("stream", name="stdout", text=f"{Path.cwd()}/a line\n" * 100),
        nbformat.v4.new_output("display_data", data=page),
        nbformat.v4.new_output("execute_result", data=image, execution_count=3),
    ]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs, execution_count=3)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# a"), cell])
    store_notebooks.trim(notebook)
    assert [o.output_type for o in cell.outputs] == ["stream", "execute_result"]
    assert cell.outputs[0].text == "a line\n" * 40
    assert cell.outputs[1].data == image
    assert cell.execution_count is cell.outputs[1].execution_count is None
    cell.outputs[1].data["image/png"] = "x" * 300_000
    with pytest.raises(ValueError, match="expected at most 200000"):
        store_notebooks.trim(notebook)


def test_stored_images_are_smaller():
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    frames = [Image.fromarray(x) for x in noise]
    data = {}
    for kind in ("png", "gif"):
        file = io.BytesIO()
        more = {"save_all": True, "append_images": frames[1:], "duration": 80}
        frames[0].save(file, kind, **(more if kind == "gif" else {}))
        data[f"image/{kind}"] = base64.b64encode(file.getvalue()).decode()
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data)])
    store_notebooks.shrink_images(nbformat.v4.new_notebook(cells=[cell]))
    png, gif = (stored(cell.outputs[0].data[f"image/{kind}"]) for kind in ("png", "gif"))
    assert (png.size, gif.size) == ((64, 48), (32, 24))
    assert len(cell.outputs[0].data["image/png"]) < len(data["image/png"]) / 2
    assert (gif.n_frames, gif.info["duration"]) == (2, 160)
    change = np.asarray(png.convert("RGB"), int) - noise[0]
    assert np.abs(change).mean() < 20  # of 255: the same picture in fewer colors


def stored(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


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
    """In its own folder, as Jupyter does; every cell works, and images come out."""
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
