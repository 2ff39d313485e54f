import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest
import tiny

from stiid.data import workers


def test_results_come_in_order_and_errors_come_through():
    made = workers.ordered_map(abs, range(-50, 0), processes=2)
    assert list(made) == list(range(50, 0, -1))
    assert list(workers.ordered_map(abs, [], processes=2)) == []
    with pytest.raises(ValueError, match="could not convert"):
        list(workers.ordered_map(float, ["1", "x", "2"], processes=2))


# A script without a guard, which waits inside of a map that two processes compute.
SCRIPT = """
import os, time
from stiid.data.workers import ordered_map
print("started", flush=True)
for result in ordered_map(os.getpgid, [0] * 4, processes=2):
    print("result", flush=True)
results = ordered_map(time.sleep, [0.0] + [60.0] * 4, processes=2)
next(results)
print("waiting", flush=True)
next(results)
"""


@pytest.mark.slow
def test_processes_do_not_run_the_script_again_and_end_with_their_parent(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    script = [sys.executable, str(tmp_path / "script.py")]
    environment = {**os.environ, "PYTHONPATH": str(tiny.ROOT)}
    process = subprocess.Popen(
        script, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    stop = threading.Timer(20, os.killpg, (process.pid, signal.SIGKILL))
    stop.start()
    assert process.stdout is not None
    lines = list(itertools.takewhile(lambda line: line != "waiting\n", process.stdout))
    assert lines == ["started\n", *["result\n"] * 4]
    process.kill()
    # The pipe ends when the last process that holds it has ended.
    assert process.stdout.read() == ""
    assert stop.is_alive()
    stop.cancel()
    process.stdout.close()
    process.wait()
