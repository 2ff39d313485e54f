"""Processes of a run that stop, or never come: the others say so, and do not wait for ever."""

import contextlib
import re
import signal
import socket
import subprocess
import sys

import pytest
import tiny

from stiid.training import partners

BODY = """
import sys, time
from stiid.training import partners, processes
partners._EVERY, partners._PATIENCE = 0.3, 10
address, number = sys.argv[1:]
processes.initialize_processes(processes.Processes(2, int(number), address))
print("joined", flush=True)
time.sleep(100)
"""


class Store:
    """The coordinator's, as far as the watch uses it."""

    def __init__(self):
        self.content = {}

    def key_value_set(self, key, value, *, allow_overwrite):
        assert allow_overwrite
        self.content[key] = value

    def key_value_dir_get(self, folder):
        return [(key, value) for key, value in self.content.items() if key.startswith(folder)]


def test_who_is_silent_for_too_long_is_lost():
    store = Store()
    ours, theirs = partners._Counts(store, 0), partners._Counts(store, 1)
    for _ in range(2 * partners._PATIENCE):
        assert ours.exchange() is None
        assert theirs.exchange() is None
    for _ in range(partners._PATIENCE):
        assert ours.exchange() is None  # the first of these still finds something new
    assert ours.exchange() == 1


def test_a_slow_partner_is_not_lost():
    store = Store()
    ours, theirs = partners._Counts(store, 0), partners._Counts(store, 1)
    for _ in range(3):
        theirs.exchange()
        assert [ours.exchange() for _ in range(partners._PATIENCE)] == [None] * partners._PATIENCE


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stopped_process_ends_the_others_with_a_line(stopped):
    """Process 0 is also the coordinator, which then answers nobody."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        both = []
        for number in range(2):
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", BODY, address, str(number)],
                    cwd=tiny.ROOT,
                    env=tiny.environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(child.kill)
            both.append(child)
        assert [child.stdout.readline() for child in both] == ["joined\n"] * 2
        both[stopped].send_signal(signal.SIGSTOP)
        other = both[1 - stopped]
        _, err = other.communicate(timeout=60)
    assert other.returncode == 1
    assert re.fullmatch(rf"error: process {stopped} of this run has not responded for .*\n", err)
