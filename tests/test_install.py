"""How the package is installed, seen from a folder that is not the checkout."""

import subprocess
import sys


def test_a_folder_of_the_same_name_does_not_hide_the_package(tmp_path):
    """``git clone`` makes such a folder, and scripts lie beside it."""
    (tmp_path / "stiid").mkdir()
    code = "import stiid; print(stiid.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("__init__.py")
