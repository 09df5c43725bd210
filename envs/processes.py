"""Ends a process when its parent ends, however that ends (Linux).

As a program, `python -I processes.py PARENT COMMAND…` asks for SIGKILL at PARENT's end, then becomes
COMMAND, which need not know of it. Only the standard library is imported here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""prctl(2): which signal the kernel sends when the parent ends; it outlives exec."""


def end_with_parent(parent: int, number: int) -> bool:
    """Have the kernel send this process signal `number` when its parent ends; False if it has ended already.

    `parent` is the process id that the parent had when it started this process.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def guarded(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` and kills it when this process ends."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    if not end_with_parent(int(sys.argv[1]), signal.SIGKILL):
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])
