"""The standard streams of a process that goes on when nobody reads them."""

from __future__ import annotations

import contextlib
import os
import sys


def hold_standard_streams() -> None:
    """Open those of descriptors 0 to 2 that are closed as /dev/null.

    Otherwise the next sockets and files would get their numbers, and be written to as stdout or stderr.
    """
    with contextlib.suppress(OSError):  # a system without /dev/null goes on as it was started
        for descriptor in (0, 1, 2):
            try:
                os.fstat(descriptor)
            except OSError:  # the lowest number that is free is this one
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
