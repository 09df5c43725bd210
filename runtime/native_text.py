"""What libraries in C write to stderr, such as gRPC's core, as events of the log."""

from __future__ import annotations

import faulthandler
import logging
import os
import re

from runtime.outlets import Outlet

READ_BYTES = 64 * 1024
ABSEIL = re.compile(r"(?P<level>[IWEF])\d{4} \S+ +\d+ [^ \]]+\] (?P<text>.*)")
"""A line of Abseil's log, which gRPC's core uses."""
LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called",
    "Log level INFO is not suitable for production",
)

log = logging.getLogger("native")


class NativeText:
    """Takes the place of stderr; what is written there waits in a pipe until `log`.

    A full pipe loses text and stops nobody. What the process itself writes goes on to the real stderr, and so
    does Python's account of a crash.
    """

    def __init__(self, stderr: Outlet) -> None:
        stderr.fd = os.dup(stderr.fd)
        faulthandler.enable(stderr.fd)
        self._pipe, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.dup2(write_end, 2)
        os.close(write_end)
        self._part = ""

    def log(self) -> None:
        """Log the whole lines that were written since the last time."""
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return
        *lines, self._part = (self._part + data.decode(errors="backslashreplace")).split("\n")
        for line in lines:
            log_line(line)


def log_line(line: str) -> None:
    """Log one line of a library."""
    match = ABSEIL.fullmatch(line)
    text = line if match is None else match["text"]
    level = logging.WARNING if match is None else LEVELS[match["level"]]
    if text.startswith("Handshake failed"):
        log.log(level, "refused: %s", text, extra={"reason": "TLS_HANDSHAKE"})
    elif text and not text.startswith(NOISE):
        log.log(level, "%s", text)
