"""Run notebooks, and store them with their small outputs.

    python -m experiments.store_notebooks [NAME …]

Images and text are stored; pages, videos and standard error are left out. Sheets are stored with
256 colors, animations at half their size and every second frame. A notebook takes a few minutes on
two CPU cores; ``quickstart`` trains a model, which takes longer.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageSequence

FOLDER = Path(__file__).parent / "notebooks"
MOST = 200_000  # bytes of the outputs of a notebook
_STORED = ("image/png", "image/gif", "text/plain")
_LINES = 40  # of printed text in a cell
# What stands for an output that was left out, and what names the machine's Python.
_EMPTY = ("<IPython", "CompletedProcess")


def main(names: list[str]) -> None:
    for name in names or [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]:
        path = FOLDER / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(FOLDER)}}
        NotebookClient(notebook, timeout=None, resources=resources).execute()
        shrink_images(notebook)
        trim(notebook)
        nbformat.write(notebook, path)
        print(f"{name}: {size(notebook)} bytes of outputs")


def shrink_images(notebook: Any) -> None:
    """Store sheets (PNG) with 256 colors, and animations (GIF) with half the frames and size."""
    for output in (o for cell in notebook.cells for o in cell.get("outputs", ())):
        data = output.get("data", {})
        for kind in data.keys() & {"image/png", "image/gif"}:
            image, smaller = Image.open(io.BytesIO(base64.b64decode(data[kind]))), io.BytesIO()
            if kind == "image/png":
                image.convert("RGB").quantize(256).save(smaller, "PNG", optimize=True)
            else:
                _save_smaller(image, smaller)
            data[kind] = base64.b64encode(smaller.getvalue()).decode()


def _save_smaller(animation: Image.Image, file: io.BytesIO) -> None:
    """Save every second frame of a GIF at half its size, as long as before."""
    frames = [frame.convert("RGB").reduce(2) for frame in ImageSequence.Iterator(animation)][::2]
    palette = frames[0].quantize(128)
    first, *others = [x.quantize(palette=palette, dither=Image.Dither.NONE) for x in frames]
    pause = 2 * animation.info.get("duration", 100)
    first.save(file, "GIF", save_all=True, append_images=others, duration=pause, loop=0)


def trim(notebook: Any) -> None:
    """Keep only outputs that are small and do not depend on the machine.

    Raises:
      ValueError: they are too large.
    """
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        kept = [output for output in map(_trimmed, cell.outputs) if output is not None]
        cell.outputs = kept
    if size(notebook) > MOST:
        raise ValueError(f"the outputs have {size(notebook)} bytes, expected at most {MOST}")


def size(notebook: Any) -> int:
    """Bytes of all outputs."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return sum(len(str(output)) for output in outputs)


def _trimmed(output: Any) -> Any:
    if output.output_type == "stream":
        if output.name != "stdout":
            return None
        lines = output.text.replace(f"{Path.cwd()}/", "").splitlines(keepends=True)
        output.text = "".join(lines[:_LINES])
        return output
    if output.output_type not in ("display_data", "execute_result"):
        return None
    output.data = {kind: data for kind, data in output.data.items() if kind in _STORED}
    if output.output_type == "execute_result":
        output.execution_count = None
    images = output.data.keys() & {"image/png", "image/gif"}
    if not images and output.data.get("text/plain", "").startswith(_EMPTY):
        return None
    return output if output.data else None


if __name__ == "__main__":
    main(sys.argv[1:])
