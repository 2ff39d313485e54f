"""Standard streams that a caller has closed (``2>&-``), as some daemons do."""

import os
import sys


def open_standard_streams() -> None:
    """Let closed streams lead nowhere.

    Their numbers would go to the next files that are opened: what libraries in C++ say on standard
    error would land in a checkpoint.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
