"""What Ctrl-C, SIGTERM and SIGHUP do to `lan-train`."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INSIST_AFTER_S = 5.0
"""One wish may come as several signals: a second Ctrl-C, or SIGTERM and SIGHUP. They have come by then."""


class Stoppable(Protocol):
    """A run that saves and ends soon after `stop_requested` is set."""

    stop_requested: bool


class StopSignals(contextlib.AbstractContextManager["StopSignals"]):
    """Asks a run to save and stop, once, however many signals come; before `watch` a signal is an interrupt.

    Ctrl-C again, `INSIST_AFTER_S` after the first signal or later, ends without saving. A signal that was
    ignored when the program began stays ignored (nohup). For a program that ends after the block: once asked
    to stop, it ignores these signals to its end.
    """

    def __init__(self) -> None:
        self._run: Stoppable | None = None
        self._asked: float | None = None
        self._before = {
            number: handler
            for number in SIGNALS
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN and handler is not None
        }

    def __enter__(self) -> StopSignals:
        for number in self._before:
            signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():  # a signal after the wish must not spoil the exit code
            signal.signal(number, handler if self._asked is None else signal.SIG_IGN)
        early = self._run is None and self._asked is not None
        if early and isinstance(error, Exception):  # a library that was interrupted may raise an error
            raise KeyboardInterrupt from None

    def watch(self, run: Stoppable) -> None:
        """Stop this run from now on."""
        self._run = run

    def _stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            if self._run is None:
                raise KeyboardInterrupt
            self._run.stop_requested = True
            print(
                f"\nstopping: saving after this update; Ctrl-C again, after {INSIST_AFTER_S:.0f} s, to stop "
                "without saving",
                file=sys.stderr,
            )
        elif number == signal.SIGINT and now - self._asked >= INSIST_AFTER_S:
            raise KeyboardInterrupt
