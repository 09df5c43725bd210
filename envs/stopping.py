"""SIGINT, SIGTERM and SIGHUP, for every command: they may come at any moment, and end it in order.

The same wish often arrives twice, from a terminal and from the process that it started; so what follows
within a second is not another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from envs.rousing import Rouser

SIGNALS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_WISH_S = 1.0
GOOD_BYE_S = 60.0
"""What a coroutine has for its good-byes: seconds, or half a minute where a name is being looked up."""

is_postponing = False
"""Whether the main thread is in a block of `postponed`."""

Result = TypeVar("Result")


class StopWish:
    """Tells whatever runs that the process is wanted to end; made by `stop_wish`.

    It notes what it hears until `listen`. Then it raises KeyboardInterrupt in plain code. It cancels a
    coroutine that `run` runs, so that this can say good-bye; the process is cut if that takes longer than
    `GOOD_BYE_S`. While `blocks` is set, because no cancellation would arrive, it raises KeyboardInterrupt
    there too. After `watch` it asks whatever runs to stop. After `settle` it only notes the first wish, since
    what is left takes a moment; it always answers a later one.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that arrived first, or the Ctrl-C that insisted after `watch`; 0 for none."""
        self.raised = False
        """Whether KeyboardInterrupt was raised: a library may make another error of it, or lose it."""
        self.blocks = False
        self.on_heard: Callable[[], object] = lambda: None
        self._ask: Callable[[], object] | None = None
        self._cancel: Callable[[], object] | None = None
        self._settled = False
        self._listens = False
        self._heard_s = 0.0
        self._again_after_s, self._again = SAME_WISH_S, SIGNALS

    def hear(self, number: int, frame: FrameType | None = None) -> None:
        """Answer a signal."""
        self.on_heard()
        is_first, now_s = not self.number, time.monotonic()
        if not is_first and (now_s < self._heard_s + self._again_after_s or number not in self._again):
            return
        self._heard_s = now_s
        if is_first or self._ask is not None:
            self.number = number
        if not self._listens or (is_first and self._settled):
            return
        if is_first and self._cancel is not None:
            cut_after(GOOD_BYE_S)
        if is_first and self._ask is not None:
            self._ask()
        elif self._cancel is None or self.blocks:
            self.raised = True
            raise KeyboardInterrupt(self.number)
        else:
            self._cancel()

    def listen(self) -> None:
        """Answer wishes from now on, and the one that was noted: now somebody catches the exception."""
        self._listens = True
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if somebody wants the process to end, and a library has lost that."""
        if self.number:
            raise KeyboardInterrupt(self.number)

    def watch(self, ask: Callable[[], object], again_after_s: float) -> None:
        """From now on a first wish calls `ask`; Ctrl-C that much later, and nothing else, is another one."""
        self.listen()
        self._ask, self._again_after_s, self._again = ask, again_after_s, (signal.SIGINT,)

    def settle(self) -> None:
        """Say that all is done but the report."""
        self._settled = True

    def exit_code(self, code: int) -> int:
        """The code of a command that would end with `code`: 128 and the signal's number where it gave way."""
        return 128 + self.number if code == 130 and self.number else code

    def run(self, play: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine to its end; KeyboardInterrupt when it was cancelled."""
        self.listen()

        async def cancellable() -> Result:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                return await play()
            finally:
                self._cancel = None
                self.settle()

        try:
            return asyncio.run(cancellable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt(self.number) from None
        finally:
            self._cancel = None
            faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Hear who wants the process to end; what was ignored before (nohup, a shell's background) stays so.

    It is answered after `listen`, since nobody would catch an exception where the block begins. It is heard
    in the main thread only, as Python has it, also while that waits without a limit. After the block signals
    are answered as before; if one was heard they are ignored, since the process ends now and the same wish
    may arrive once more.
    """
    stop = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    with Rouser(lambda number: signal.getsignal(number) == stop.hear) as rouser:
        stop.on_heard = rouser.answered
        for number in heard:
            signal.signal(number, stop.hear)
        try:
            yield stop
        finally:
            for number, handler in heard.items():
                signal.signal(number, signal.SIG_IGN if stop.number else handler)
            stop.on_heard = lambda: None


@contextlib.contextmanager
def postponed(until: str) -> Iterator[None]:
    """Signals that come within the block are answered at its end: for code that would lose an exception.

    The first one is told on stderr that the process ends `until`. A signal that ends the process without a
    handler of Python's ends it at once. A block within another one is part of it: a kernel is compiled while
    the one that calls it is.
    """
    global is_postponing
    before = {}
    if threading.current_thread() is threading.main_thread() and not is_postponing:
        before = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) == 1:
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # RuntimeError: it is being written
                print(f"stopping, {until}", file=sys.stderr, flush=True)

    try:
        for number in before:
            signal.signal(number, note)
        is_postponing |= bool(before)
        yield
    finally:
        is_postponing &= not before
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in arrived:
            signal.raise_signal(received)


def cut_after(seconds: float) -> None:
    """End this process after so long, if it has not ended by then: exit code 1, and all stacks on stderr.

    A library in C may hang while it holds the interpreter's lock, and then no signal is answered. A thread
    that needs no lock ends the process; an alarm's default action would not end process 1 of a container.
    """
    try:
        faulthandler.dump_traceback_later(seconds, exit=True, file=last_words())
    except RuntimeError as error:  # the system has no room for a thread
        print(f"nothing will end this process if it hangs: {error}", file=sys.stderr)


@contextlib.contextmanager
def cut_if_longer(seconds: float) -> Iterator[None]:
    """`cut_after`, unless the block has ended by then."""
    cut_after(seconds)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@functools.cache
def last_words() -> int:
    """A descriptor of stderr on which no write waits for a reader; one that drops all where there is none."""
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # no stream, or a closed one
        return os.open(os.devnull, os.O_WRONLY)
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # a socket
        return os.open(os.devnull, os.O_WRONLY) if os.get_blocking(fd) else os.dup(fd)
