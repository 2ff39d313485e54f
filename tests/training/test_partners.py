"""Processes of a run that end, stop or never come: the others say so, and do not wait for ever."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import tiny

from stiid.training.partners import Partners

START = """
import sys, time
from stiid.training import partners
partners._EVERY, partners._PATIENCE, partners._GRACE = 0.2, 10, 0.1
address, number, count = sys.argv[1:]
"""
LINES = f"""{START}
those = partners.Partners(int(number), int(count), address)
those.start()
assert those.wait(60)
print("joined", flush=True)
"""
JAX = f"""{START}
import jax
from stiid.training import processes
from jax.experimental import multihost_utils
processes.initialize_processes(processes.Processes(int(count), int(number), address))
assert multihost_utils.process_allgather(jax.numpy.ones(3)).shape == (2, 3)
print("joined", flush=True)
"""
STAY = "sys.stdin.read()\n"
PART = "those.part()\n"


@pytest.fixture
def start(free_address):
    """Start a process of a run; all are killed in the end."""
    with contextlib.ExitStack() as stack:

        def start(body, number, count):
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", body, free_address, str(number), str(count)],
                    cwd=tiny.ROOT,
                    env=tiny.environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(child.kill)
            return child

        yield start


def run_of(start, body, count):
    children = [start(body, number, count) for number in range(count)]
    for child in children:
        assert "joined\n" in child.stdout  # after a line of Gloo's
    return children


def assert_ends_with(child, error):
    assert child.wait(60) == 1
    err = child.stderr.read()
    assert re.fullmatch(rf"error: {error}[^\n]*\n", err), err


@pytest.mark.parametrize("killed", [0, 1])
def test_each_learns_which_one_ended(start, killed):
    children = run_of(start, LINES + STAY, 3)
    children.pop(killed).kill()
    for child in children:
        assert_ends_with(child, f"process {killed} of this run ended: ")


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stopped_process_ends_the_others_and_itself_when_it_goes_on(start, stopped):
    children = run_of(start, LINES + STAY, 2)
    child = children.pop(stopped)
    child.send_signal(signal.SIGSTOP)
    assert_ends_with(children[0], f"process {stopped} of this run has not responded for 2 s")
    child.send_signal(signal.SIGCONT)
    assert_ends_with(
        child, "this process was stopped for a while, and the others ended meanwhile: "
    )


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_short_stop_is_forgiven(start, stopped):
    children = run_of(start, LINES + STAY + PART, 2)
    children[stopped].send_signal(signal.SIGSTOP)
    time.sleep(0.8)
    children[stopped].send_signal(signal.SIGCONT)
    time.sleep(2.5)  # longer than the patience
    assert [child.poll() for child in children] == [None, None]
    for child in children:
        assert child.communicate(timeout=60) == ("", "")
        assert child.returncode == 0


@pytest.mark.parametrize("parting", [0, 1])
def test_one_that_parts_leaves_the_other_time_to_finish(start, parting):
    """Process 0 may still be writing when the others are done, and the other way round."""
    children = [
        start(LINES + (PART if number == parting else STAY), number, 2) for number in (0, 1)
    ]
    for child in children:
        assert child.stdout.readline() == "joined\n"
    assert children[parting].wait(60) == 0
    time.sleep(1.0)  # longer than the grace
    assert children[1 - parting].communicate(timeout=60) == ("", "")
    assert children[1 - parting].returncode == 0


def test_a_reason_of_its_own_is_told_instead(start):
    """All processes may meet the same error, one of them first."""
    own = """
partners._GRACE = 60.0
while not those._leaving:
  time.sleep(0.01)
print("error: mine", file=sys.stderr)
partners.signals.leave(1)
"""
    children = run_of(start, LINES + own, 2)
    children[1].kill()
    assert_ends_with(children[0], "mine")


def test_a_stranger_at_the_port_is_sent_away(start, free_address):
    first = start(LINES, 0, 2)
    host, port = free_address.split(":")
    for text in (b"GET / HTTP/1.1\r\n\r\n", b"\xff\n", b"line one of 2\n", b"x" * 100_000, b""):
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError):
                stranger = socket.create_connection((host, int(port)), timeout=60)
                break
            time.sleep(0.1)
        with stranger, contextlib.suppress(ConnectionError):
            stranger.sendall(text)
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(100) == b""
    start(LINES, 1, 2)
    assert first.stdout.readline() == "joined\n"


def test_a_second_process_of_a_number_is_refused(start):
    start(LINES, 0, 3)
    same = [start(LINES, 1, 3) for _ in range(2)]
    while all(child.poll() is None for child in same):
        time.sleep(0.1)
    refused = next(child for child in same if child.returncode is not None)
    assert "process 0 has met a process 1 already: give each its own" in refused.stderr.read()


def test_a_process_of_another_count_is_refused(start):
    start(LINES, 0, 3)
    _, err = start(LINES, 1, 2).communicate(timeout=60)
    assert "process 0 waits for 3 processes, process 1 is one of 2: start all of them" in err


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        partners = Partners(0, 2, f"127.0.0.1:{port}")
        partners.start()
        with pytest.raises(ValueError, match=rf"process 0 cannot listen at port {port} \(.*in use"):
            partners.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_jax_does_not_crash_when_its_coordinator_or_another_process_ends(start, killed):
    """Its own client would abort this process, with a dump of C++, or not hear of it."""
    children = run_of(start, JAX + STAY, 2)
    children.pop(killed).kill()
    assert_ends_with(children[0], f"process {killed} of this run ended: ")


@pytest.mark.slow
def test_jax_ends_quietly_when_all_processes_end(start):
    children = run_of(start, JAX + "processes.part()\n", 2)
    for child in children:
        assert child.communicate(timeout=60) == ("", "")
        assert child.returncode == 0
