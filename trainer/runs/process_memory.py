"""How this process keeps freed memory, and the most it has used."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks: an update allocates the same ones again at once."""
    m_trim_threshold, m_mmap_threshold = -1, -3
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, (1 << 31) - 1)
    except (OSError, AttributeError):
        return  # not glibc: only speed is lost


def peak_memory_mb() -> float:
    """The most resident memory this process ever had, MB.

    `getrusage` alone would not do on Linux: its maximum is inherited from the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return (
            float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024
        )
    except (OSError, StopIteration):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
