"""Signals, kept until somebody asks for them."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterable, Iterator
from typing import Self


class SignalInbox:
    """The signals that have arrived since the last `take`; `reader` is readable when there are some.

    Leaving its `with` block gives the signals back to the handlers that they had.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._arrived: set[int] = set()
        self.reader, self._writer = socket.socketpair()
        for end in (self.reader, self._writer):
            end.setblocking(False)
        # A full socket wakes as well as one with room: Python need not warn of it.
        self._woken_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = {
            number: signal.signal(number, lambda received, frame: self._arrived.add(received))
            for number in self._numbers
        }
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)  # whoever started us may have blocked them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(self._woken_before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._close()

    def take(self) -> set[int]:
        """The signals since the last call; many of one kind are one."""
        with contextlib.suppress(BlockingIOError):
            while self.reader.recv(4096):
                pass
        arrived, self._arrived = self._arrived, set()
        return arrived

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Signals that arrive within the block are delivered at its end, or to a forked child's `forget`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def forget(self) -> None:
        """In a forked child: signals act as in a new process; SIGHUP, the parent's affair, does nothing."""
        signal.set_wakeup_fd(-1)
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)
        self._close()

    def _close(self) -> None:
        self.reader.close()
        self._writer.close()
