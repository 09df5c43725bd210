"""Wakes the main thread for a signal that came just before a wait, or in another thread.

Python answers a signal between two instructions of the main thread, and a signal interrupts a wait of the
system's. One that comes after the last instruction and before the wait does neither: it is answered when the
wait ends, and a server waits for ever.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
from collections.abc import Callable
from typing import Self

ANSWER_S = 0.1
"""A signal that has no answer after so long is sent again: seconds."""


class Rouser:
    """Sends the main thread a signal again until its handler has called `answered`.

    Within its `with` block, which the main thread enters. `is_ours` tells of which signals that holds: other
    handlers call nothing. Where the system has no room for a thread, signals are answered as Python does it.
    """

    def __init__(self, is_ours: Callable[[int], bool]) -> None:
        self._is_ours = is_ours
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._rouse, name="rouser", daemon=True)

    def __enter__(self) -> Self:
        self._woken_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:  # the thread inherits the mask: signals are other threads' affair
            self._thread.start()
        except RuntimeError:
            self._has_ended.set()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(self._woken_before)
        has_thread = not self._has_ended.is_set()
        self._has_ended.set()
        self._writer.close()
        if has_thread:
            self._thread.join()
        self._reader.close()

    def answered(self) -> None:
        """Take note that a handler runs: no signal that came until now is sent again."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def _rouse(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while True:
            select.select([self._reader], [], [])
            if self._has_ended.wait(ANSWER_S):
                return
            with contextlib.suppress(BlockingIOError):  # it was answered
                number = self._reader.recv(1, socket.MSG_PEEK)
                if not number:  # the block ends now
                    return
                if self._is_ours(number[0]):
                    signal.pthread_kill(main, number[0])
                else:
                    self._reader.recv(1)
