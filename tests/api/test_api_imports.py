"""What the Python API imports."""

import subprocess
import sys

import pytest
import tiny

import stiid
from stiid.data import registry


def in_a_process(program):
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, cwd=tiny.ROOT, env=tiny.environment(), capture_output=True, text=True, check=True
    )
    return result.stdout.split(), result.stderr


def test_importing_the_package_imports_no_jax():
    program = "import sys, stiid\nprint(*sorted({'jax', 'numpy', 'stiid.api'} & set(sys.modules)))"
    assert in_a_process(program) == ([], "")
    assert set(stiid.__all__) <= set(dir(stiid))
    with pytest.raises(AttributeError, match="no attribute 'lood'"):
        stiid.lood  # noqa: B018


@pytest.mark.slow
def test_loading_a_model_of_balls_imports_no_library_of_other_data():
    program = (
        "import sys, stiid\nprint(stiid.load('quickstart').num_slots)\n"
        "print(*({'mujoco', 'h5py', 'tensorflow_datasets'} & set(sys.modules)))"
    )
    printed, _ = in_a_process(program)  # what takes a second is said on standard error
    assert printed == ["4"]


def test_a_source_is_not_needed_to_decompose(model, video, monkeypatch):
    monkeypatch.setattr(registry, "load", None)
    model.decompose(video)
