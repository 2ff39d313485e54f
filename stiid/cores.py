"""How many cores there are for us."""

import os


def available_cores() -> int:
    """Cores that this process may use (``taskset`` lowers it); on macOS, all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
