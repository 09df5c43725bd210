"""Ends a process when its parent ends, however that ends (Linux).

As a program, `python -I processes.py PARENT COMMAND…` asks for SIGKILL at PARENT's end, then becomes
COMMAND, which need not know of it. Only the standard library is imported here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""prctl(2): which signal the kernel sends when the parent ends; it outlives exec."""
LOOK_EVERY_S = 1.0


def end_with_parent(parent: int, number: int) -> bool:
    """Send this process signal `number` when its parent ends; False if it has ended already.

    `parent` is the process id that the parent had when it started this process. The kernel sends the signal;
    where it or the C library cannot, a thread looks every second. Call it after the last fork.
    """
    if not ask_kernel(number):
        threading.Thread(target=look_for_parent, args=(parent, number), daemon=True).start()
    return os.getppid() == parent


def ask_kernel(number: int) -> bool:
    """Whether the kernel will send this process signal `number` when its parent ends."""
    try:
        import ctypes  # here, because some builds of Python have none

        return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def look_for_parent(parent: int, number: int) -> None:
    """Wait until the parent has ended, then send this process signal `number`."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), number)


def guarded(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` and kills it when this process ends."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: Sequence[str]) -> int:
    """Become `command`; returns 1 when the parent has ended."""
    if not ask_kernel(signal.SIGKILL):
        sys.stderr.write(f"this system has no prctl: {command[0]} may outlive its parent if that is killed\n")
    if os.getppid() != parent:
        return 1
    os.execv(command[0], list(command))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
