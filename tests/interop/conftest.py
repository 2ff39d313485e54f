"""The reader under test, and a place for its files."""

import pytest

from stiid.interop.torch_file import read_state_dict


@pytest.fixture
def read(tmp_path):
    """Read a file of these bytes."""

    def read(content):
        path = tmp_path / "file.th"
        path.write_bytes(content)
        return read_state_dict(path)

    return read


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "file.th"
