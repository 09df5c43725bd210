"""Printing that never fails and never waits for long, for commands whose work is more than their output."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import TextIO, cast

PATIENCE_S = 0.5
"""How long a line may take to be written before it is left to the writing thread."""
RETRY_S = 1.0
KEPT_BYTES = 1 << 20
"""Text that waits for a full disk or a stopped reader; beyond it the newest is dropped."""
FAREWELL_S = 2.0
"""How long the end of the command waits for a reader that does not read."""


class PatientStream(io.TextIOBase):
    """A text stream to a descriptor whose reader may be gone, stopped, or a full disk.

    A thread writes, so that a pipe nobody reads stops nobody. What could not be written is kept, and tried
    again until `finish`.
    """

    def __init__(self, descriptor: int, encoding: str, *, is_terminal: bool) -> None:
        self._descriptor = os.dup(descriptor)  # which nobody else closes
        self._encoding, self._is_terminal = encoding, is_terminal
        self._waiting = bytearray()
        self._changed = threading.Condition()  # its lock may be taken again, by a signal's handler
        self._error: OSError | None = None
        self._is_late = self._is_lossy = self._is_finished = False
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream that this one stands for; a character that it lacks is escaped."""
        return self._encoding

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a terminal reads this."""
        return self._is_terminal

    def writable(self) -> bool:
        """It is."""
        return True

    @property
    def is_lossy(self) -> bool:
        """Whether something was not written, or not yet, because the disk is full or nobody reads."""
        return self._is_lossy or self._error is not None

    def write(self, text: str) -> int:
        """Take text; a whole line is written at once where somebody reads."""
        data = text.encode(self._encoding, "backslashreplace")
        with self._changed:
            if len(self._waiting) + len(data) > KEPT_BYTES:
                self._is_lossy = True
            elif not self._is_finished:
                self._waiting += data
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Have the text written; returns before that is done where it takes long."""
        with self._changed:
            if not self._waiting or self._is_finished:
                return
            if self._thread is None and not self._start():
                return
            self._changed.notify_all()
            if not self._is_late:
                self._is_late = not self._changed.wait_for(self._is_done, PATIENCE_S)

    def finish(self) -> str | None:
        """End the stream; returns why its reader did not get everything, None where it did."""
        self.flush()
        with self._changed:
            self._error = None  # the last try
            self._changed.notify_all()
            hangs = not self._changed.wait_for(self._is_done, FAREWELL_S)
            error, self._is_finished = self._error, True
            self._changed.notify_all()
        if hangs:
            return "nobody reads it"  # the thread, in a write that may never end, dies with the process
        if self._thread is not None:
            self._thread.join()
        os.close(self._descriptor)
        if error is not None:
            return error.strerror or str(error)
        return "parts were dropped while nobody read it" if self._is_lossy else None

    def _start(self) -> bool:
        thread = threading.Thread(target=self._pour, name="console", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads for this user; the next line tries again
            return False
        self._thread = thread
        return True

    def _is_done(self) -> bool:
        return not self._waiting or self._error is not None

    def _pour(self) -> None:
        """Write what waits, for ever."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_finished)
                if self._is_finished:
                    return
                part = bytes(self._waiting[:4096])
            try:
                written, error = os.write(self._descriptor, part), None
            except BlockingIOError:  # somebody who shares the pipe made it so
                select.select([], [self._descriptor], [], RETRY_S)
                continue
            except OSError as failure:  # a reader that is gone, a full disk, a closed terminal
                written, error = 0, failure
            with self._changed:
                del self._waiting[:written]
                self._error = error
                self._is_late = error is not None or (self._is_late and bool(self._waiting))
                self._changed.notify_all()
                if error is not None:
                    self._changed.wait_for(lambda: self._error is None, RETRY_S)


@contextlib.contextmanager
def patient_output(prog: str) -> Iterator[None]:
    """Put patient streams in the place of `sys.stdout` and `sys.stderr` for a block.

    At its end, stderr says in one line that nobody could read all of stdout. For programs that do not fork.
    """
    before = sys.stdout, sys.stderr
    out, err = (patient(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        unread = out.finish() if isinstance(out, PatientStream) else None
        if unread is not None:
            print(f"{prog}: not all output could be written: {unread}", file=err)
        if isinstance(err, PatientStream):
            err.finish()
        sys.stdout, sys.stderr = before


def patient(stream: TextIO | None) -> TextIO:
    """A patient stream to where `stream` writes; the stream itself where it writes to memory."""
    try:
        if stream is None or stream.closed:  # Python gives None for a descriptor that was closed at the start
            return nowhere()
        with contextlib.suppress(OSError):
            stream.flush()
        encoding = stream.encoding or "utf-8"
        return cast("TextIO", PatientStream(stream.fileno(), encoding, is_terminal=stream.isatty()))
    except io.UnsupportedOperation:
        assert stream is not None
        return stream
    except OSError:  # its descriptor was closed
        return nowhere()


def nowhere() -> TextIO:
    """A stream that nobody reads."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        return cast("TextIO", PatientStream(descriptor, "utf-8", is_terminal=False))
    finally:
        os.close(descriptor)
