"""Standard streams that a caller has closed (``2>&-``), as some daemons do."""

import os
import sys


def open_standard_streams() -> None:
    """Connect closed streams to the null device.

    Otherwise the next opened files would get their numbers, and messages that C++ libraries write
    to standard error would end up in a checkpoint.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
