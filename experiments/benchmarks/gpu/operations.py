"""Find the operations that take a device's time, with JAX's profiler."""

import collections
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

RUNS, MOST = 2, 40  # of the program; rows


def operations(run: Callable[[], Any]) -> list[dict[str, Any]]:
    """Operations sorted by their time, the longest first.

    The first row is the wall time of a run, and the share of it in which the device was busy.

    Args:
      run: the compiled program; returns when the device is done.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            begin = time.perf_counter()
            for _ in range(RUNS):
                run()
            clock = 1e3 * (time.perf_counter() - begin) / RUNS
        (file,) = Path(folder).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(file))
    milliseconds: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[str] = collections.Counter()
    for name, duration in _events(data):
        milliseconds[name] += duration
        calls[name] += 1
    busy = sum(milliseconds.values()) / RUNS
    rows = [{"operation": "all", "ms": clock, "share": busy / clock, "calls": sum(calls.values())}]
    for name, total in milliseconds.most_common(MOST):
        each = total / RUNS
        share = each / busy if busy else 0.0
        rows.append({"operation": name, "ms": each, "share": share, "calls": calls[name]})
    return [{**row, "calls": row["calls"] // RUNS} for row in rows]


def _events(data: Any) -> Any:
    """(name, milliseconds) of each kernel on the devices; on a CPU, of its worker threads."""
    planes = [plane for plane in data.planes if plane.name.startswith("/device:GPU")]
    of_gpu = bool(planes)
    for plane in planes or [plane for plane in data.planes if plane.name == "/host:CPU"]:
        lines = list(plane.lines)
        chosen = [line for line in lines if line.name.startswith("Stream" if of_gpu else "tf_XLA")]
        for line in chosen or lines:
            for event in line.events:
                yield event.name, 1e-6 * event.duration_ns
