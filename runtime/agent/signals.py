"""Signals, kept until somebody asks for them, or handed to an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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


def call_on_signals(
    loop: asyncio.AbstractEventLoop, calls: Mapping[int, Callable[[], object]], last: Collection[int]
) -> None:
    """Have a loop make each signal's call, until one of `last` has come; what comes later does nothing.

    A thread waits for them, and all threads that start after this call block them, so no signal interrupts
    anything. Abseil's, in gRPC, would not bear it: `MeasureTscFrequencyWithSleep` sleeps a millisecond while
    it holds the interpreter's lock, and after a signal goes on for what the kernel says is left, which is
    longer by the timer slack. Under a storm of signals that never ends.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, calls)

    def wait() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            number = 0
            while number not in last:
                number = signal.sigwait(calls)
                loop.call_soon_threadsafe(calls[number])

    threading.Thread(target=wait, name="signals", daemon=True).start()
