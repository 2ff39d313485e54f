"""Streams that were closed before the process began."""

import subprocess
import sys

import pytest
import tiny

PROGRAM = (
    "import os, sys; from stiid.cli.streams import open_standard_streams; open_standard_streams();"
    "file = open(sys.argv[1], 'w'); assert file.fileno() > 2;"
    "print('a'); print('b', file=sys.stderr); sys.stdin.read(1); os.write(2, b'c');"
    "file.write('whole'); file.close()"
)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(tmp_path, closed):
    path = tmp_path / "file"
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", PROGRAM, str(path)]
    result = subprocess.run(command, cwd=tiny.ROOT, stdin=subprocess.DEVNULL, timeout=60)
    assert result.returncode == 0
    assert path.read_text() == "whole"
