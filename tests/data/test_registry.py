"""Sources are imported when they are used."""

import subprocess
import sys

import pytest
import tiny

HEAVY = ("jax", "tensorflow_datasets", "h5py", "mujoco")


def loaded(name):
    """Which of the heavy libraries a fresh process has imported once it knows a source's view."""
    program = (
        "import sys\nfrom stiid.data import registry\n"
        f"assert registry.view({name!r}).channels == 1 or {name!r} == 'rendered'\n"
        f"print(*(library for library in {HEAVY} if library in sys.modules))"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=tiny.ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "libraries"),
    [("bouncing_balls", []), ("r_nem", ["h5py"]), ("rendered", ["mujoco"])],
)
def test_a_view_imports_what_its_source_needs_and_no_more(name, libraries):
    assert loaded(name) == libraries
