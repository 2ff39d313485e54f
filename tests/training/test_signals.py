"""Signals to real processes: each test starts one in a state that might lose signals."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import tiny

HEAD = """
import hashlib, os, signal, sys, time, weakref
from stiid.training import signals

signals.obey()
"""
LEAVE = """
except signals.Terminated as error:
    print("left by", error.number, flush=True)
    signals.leave(128 + error.number)
"""


@contextlib.contextmanager
def process(body, *, ready="ready"):
    """A process that runs a body, once it has printed that it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-c", HEAD + body],
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(60, child.kill)
    guard.start()
    try:
        assert child.stdout.readline() == f"{ready}\n", child.communicate()
        yield child
    finally:
        guard.cancel()
        child.kill()
        child.communicate()


def end(child):
    """All output but the line that was read, once the process has ended."""
    output = child.stdout.read(), child.stderr.read()
    child.wait()
    return output


WAIT = f"signals.begin()\ntry:\n    print('ready', flush=True)\n    time.sleep(50){LEAVE}"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"])
def test_a_signal_leaves_with_its_code(name):
    number = signal.Signals[name]
    with process(WAIT) as child:
        child.send_signal(number)
        out, err = end(child)
    assert (child.returncode, out, err) == (128 + number, f"left by {number.value}\n", "")


def test_a_signal_before_anything_is_begun_ends_at_once():
    with process("print('ready', flush=True)\ntime.sleep(50)") as child:
        child.send_signal(signal.SIGINT)
        _, err = end(child)
    assert child.returncode == 130
    assert err == "error: stopped by SIGINT: nothing had begun\n"


def test_a_second_signal_ends_what_hears_none():
    """As in a long compilation: C that no handler interrupts."""
    body = (
        "signals.begin()\nprint('ready', flush=True)\n"
        "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2**31 - 1)"
    )
    with process(body) as child:
        time.sleep(1.0)  # until it is in C
        child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert child.poll() is None
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, err = end(child)
        assert time.monotonic() - began < 5
    assert child.returncode == 130
    assert err == ("error: stopped by SIGINT: the second signal. What was saved before is intact\n")


def test_a_request_that_is_delivered_twice_counts_once():
    """``timeout`` signals its child, and then the group."""
    body = WAIT.replace("time.sleep(50)", "os.system(f'kill {os.getpid()}; kill {os.getpid()}')")
    body = body.replace("    signals.leave", "    time.sleep(1)\n    signals.leave")
    with process(body) as child:
        out, err = end(child)
    assert (child.returncode, out, err) == (143, "left by 15\n", "")


def test_a_signal_in_a_callback_of_the_garbage_collector_is_not_lost():
    """Python drops what is raised there."""
    callback = (
        "class Thing: pass\n"
        "    thing = Thing()\n"
        "    ref = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))\n"
        "    del thing\n"
        "    for _ in range(500): time.sleep(0.1)"
    )
    with process(WAIT.replace("time.sleep(50)", callback)) as child:
        out, err = end(child)
    assert (child.returncode, out, err) == (143, "left by 15\n", "")


def test_what_is_ignored_stays_ignored():
    """``nohup`` ignores SIGHUP for the command that it starts."""
    body = WAIT.replace("time.sleep(50)", "os.kill(os.getpid(), 1); time.sleep(0.5)")
    command = ["nohup", sys.executable, "-c", HEAD + body + "\nprint('lived')"]
    result = subprocess.run(command, cwd=tiny.ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, "ready\nlived\n")


def test_signals_of_children_are_not_our_own():
    """A forked child shares the socket, and ends by its own signals."""
    fork = (  # Python 3.12 warns of forks beside threads, as which the listener counts
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"
        "    child = os.fork()\n"
        "    if not child: time.sleep(50)\n"
        "    for _ in range(2):\n"
        "        time.sleep(0.3); os.kill(child, 15)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -15\n"
        "    time.sleep(0.3); print('alone', flush=True); sys.exit(3)"
    )
    with process(WAIT.replace("time.sleep(50)", fork)) as child:
        out, err = end(child)
    assert (child.returncode, out, err) == (3, "alone\n", "")
