"""The standard streams of a process that goes on when nobody reads them."""

from __future__ import annotations

import contextlib
import os
import select
import sys

from envs.text import one_line

WAIT_MS = 1000
MAX_LINE_CHARS = 1000
"""A line of this length, in UTF-8, is written to a pipe in one piece or not at all."""


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


def say(line: str) -> None:
    """Write a line to stdout; a reader that has left or stands still, or a full disk, loses the line only."""
    with contextlib.suppress(OSError):
        stdout = select.poll()
        stdout.register(1, select.POLLOUT)
        if stdout.poll(WAIT_MS):
            os.write(1, one_line(line, MAX_LINE_CHARS).encode() + b"\n")
