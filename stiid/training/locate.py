"""Find the checkpoints of a run, or a released model in the package."""

import contextlib
import difflib
import json
import os
from pathlib import Path

from stiid.paths import local_path

RELEASED = "stiid://"
RELEASES = Path(__file__).parents[1] / "released"
_CHOICES = ("latest", "best")


def locate(workdir: Path, checkpoint: str) -> tuple[Path, str]:
    """Find the folder of checkpoints that ``--checkpoint`` means, and which of them is meant.

    Args:
      workdir: of the run.
      checkpoint: "latest" or "best" (of the workdir); the path of a workdir, of its folder of
        checkpoints, or of one checkpoint (such as RUN/checkpoints/700 or RUN/checkpoints/best); or
        "stiid://NAME", a model that comes with the package.
    """
    if checkpoint in _CHOICES:
        return local_path(str(workdir), "--workdir") / "checkpoints", checkpoint
    if checkpoint.startswith(RELEASED):
        return _released(checkpoint), "latest"
    path = local_path(checkpoint, "--checkpoint")
    if path.name in _CHOICES and path.parent.is_dir():
        return path.parent, path.name
    if not path.is_dir():
        raise FileNotFoundError(f"--checkpoint={checkpoint}: no such folder")
    if (path / "checkpoints").is_dir():
        return path / "checkpoints", "latest"
    is_one = path.name.isdigit() and (path / "config").is_dir()
    return (path.parent, path.name) if is_one else (path, "latest")


def released_names() -> list[str]:
    """Names of the released models in the package."""
    return sorted(path.name for path in RELEASES.iterdir() if path.is_dir())


def find_model(source: str | os.PathLike[str]) -> tuple[Path, str]:
    """Find the values of ``--workdir`` and ``--checkpoint`` that a name means.

    Raises:
      FileNotFoundError: neither a folder nor a released model has that name.
    """
    path, names = Path(source).expanduser(), released_names()
    name = str(source).removeprefix(RELEASED)
    is_folder = path.is_dir() and not str(source).startswith(RELEASED)
    if is_folder and (path / "checkpoints").is_dir():
        return path, "latest"
    if name in names:
        return Path("runs", name), RELEASED + name
    if is_folder:
        return path, str(path)
    close = difflib.get_close_matches(name, names, n=1)
    raise FileNotFoundError(
        f"{os.fspath(source)!r} is neither the folder of a run nor a released model "
        f"({', '.join(names)})" + "".join(f": did you mean {other}?" for other in close)
    )


def _released(checkpoint: str) -> Path:
    names = released_names()
    name = checkpoint.removeprefix(RELEASED)
    if name not in names:
        raise FileNotFoundError(
            f"--checkpoint={checkpoint}: no such model, only "
            f"{', '.join(RELEASED + name for name in names)}"
        )
    return RELEASES / name


def stored_batch_sizes(directory: Path) -> list[int]:
    """``evaluate.batch_size`` of all checkpoints in a folder, read without Orbax.

    Orbax asks JAX for its devices, whose number must divide these batches. A checkpoint that cannot
    be read is left out: restoring it reports what is wrong.
    """
    sizes = []
    for path in (directory / "model.json", *sorted(directory.glob("*/config/metadata"))):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            content = json.loads(path.read_text(encoding="utf-8"))
            config = content.get("config", content)  # of a released model, or of a checkpoint
            sizes.append(int(config["evaluate"]["batch_size"]))
    return sizes
