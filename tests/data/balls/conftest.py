"""A file in the layout of R-NEM's."""

import pytest
from r_nem_files import SPEC

from stiid.data.balls.r_nem_writer import write_r_nem


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("r_nem") / "balls.h5"
    write_r_nem(path, SPEC, curtain=False)
    return path
