"""Descriptors whose writing never waits for a reader and never fails, so that no log can stop a process.

What nobody reads, or what a full disk or a vanished terminal refuses, is dropped and counted. No thread is
needed, so a process may fork; `envs.console` has one, and loses less.
"""

from __future__ import annotations

import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable

KEPT_BYTES = 256 * 1024
"""What is kept for a reader that is slow; the oldest lines beyond it are dropped."""


class Outlet:
    """A descriptor whose writing never waits and never fails: what cannot be written is kept or dropped."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.dropped = 0
        """Writes that were lost."""
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._lock = threading.RLock()

    def write(self, text: str) -> None:
        """Write whole lines, after those that are kept."""
        data = text.encode(errors="backslashreplace")
        with self._lock:
            self._kept.append(data)
            self._kept_bytes += len(data)
            self.flush()
            while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept[1])  # the first one may be written in part
                del self._kept[1]
                self.dropped += 1

    def flush(self) -> bool:
        """Write what is kept, as far as that goes now; return whether all is written."""
        with self._lock:
            while self._kept:
                data = self._kept[0]
                try:
                    written = os.write(self.fd, data)
                except BlockingIOError:
                    return False
                except OSError:  # no reader, no terminal, no room on the disk
                    written = len(data)
                    self.dropped += 1
                self._kept_bytes -= written
                if written == len(data):
                    self._kept.popleft()
                else:
                    self._kept[0] = data[written:]
            return True

    def finish(self, patience_s: float) -> None:
        """Write what is kept, and wait a little for a reader that is slow."""
        end_s = time.monotonic() + patience_s
        while not self.flush() and (left_s := end_s - time.monotonic()) > 0:
            room = select.poll()
            room.register(self.fd, select.POLLOUT)
            room.poll(1000 * left_s)

    def forget(self) -> None:
        """Drop what is kept: after a fork, the parent writes it."""
        self._kept.clear()
        self._kept_bytes = 0


class LineStream:
    """What `print` and tracebacks write to: a text stream that hands on whole lines."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, outlet: Outlet, give: Callable[[str], None]) -> None:
        self._outlet = outlet
        self._give = give
        self._part = ""

    def write(self, text: str) -> int:
        """Take text; its last line is kept until it ends, or `flush` is called."""
        *lines, self._part = (self._part + text).split("\n")
        for line in lines:
            self._give(line)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Take several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Hand on what is there of the last line, and try to write what is kept."""
        if self._part:
            part, self._part = self._part, ""
            self._give(part)
        self._outlet.flush()

    @property
    def is_lossy(self) -> bool:
        """Whether something was dropped."""
        return self._outlet.dropped > 0

    def fileno(self) -> int:
        """The descriptor."""
        return self._outlet.fd

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._outlet.fd)

    def writable(self) -> bool:
        """It is."""
        return True


def never_wait(fd: int) -> None:
    """Let a write fail where it would wait for a reader, if possible for this process alone."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # a socket, or a pipe that another user has made: all that share it share this
        os.set_blocking(fd, False)
        return
    os.dup2(own, fd)
    os.close(own)
