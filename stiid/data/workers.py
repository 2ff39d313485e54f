"""Share work between processes, with results in order, and count the available cores."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 3  # tasks per process that are submitted in advance


def available_cores() -> int:
    """Number of cores that this process may use (``taskset`` limits it); on macOS, all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, processes: int
) -> Iterator[Result]:
    """Yield function(task) for each task, in order, with any number of processes.

    The processes are spawned (a fork would copy locks of other libraries' threads), do not import
    the main module, and end with this process, even if it is killed. At most 3 results per process
    wait in memory.

    Args:
      function: function at the top level of a module, for pickle; its errors are raised here.
      tasks: picklable arguments.
      processes: number of processes; 1 computes in this process.

    Raises:
      concurrent.futures.process.BrokenProcessPool: If a process dies.
    """
    if processes <= 1:
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start
    )
    waiting: deque[Future[Result]] = deque()
    remaining = iter(tasks)
    try:
        while True:
            with _without_main():
                for task in itertools.islice(remaining, _AHEAD * processes - len(waiting)):
                    waiting.append(pool.submit(function, task))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, which a new process would import: a script would run again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start() -> None:
    """Leave interrupts to the parent process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
