"""The standard streams of a process that goes on when nobody reads them."""

from __future__ import annotations

import contextlib
import io
import os
import sys


class Output(io.TextIOWrapper):
    """Standard output that remembers which error was its own, so that no file's is taken for it."""

    failure: OSError | None = None
    plain: io.TextIOWrapper

    def write(self, text: str) -> int:
        """As every stream; without a buffer an error comes from here."""
        try:
            return super().write(text)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """As every stream."""
        try:
            super().flush()
        except OSError as error:
            self.failure = error
            raise


def remember_failures() -> None:
    """Make the process's own stdout an `Output`; a stream that others have put in its place stays."""
    plain = sys.stdout
    if type(plain) is io.TextIOWrapper:
        with contextlib.suppress(OSError, ValueError):  # what it holds already cannot be written
            plain.flush()
            output = Output(
                plain.buffer, plain.encoding, plain.errors,
                line_buffering=plain.line_buffering, write_through=plain.write_through,
            )  # fmt: skip
            output.plain = plain  # whose end would close what both write to
            sys.stdout = output


def hold_standard_streams() -> None:
    """Open those of descriptors 0 to 2 that are closed as /dev/null.

    Otherwise the next sockets and files would get their numbers, and be written to as stdout or stderr.
    """
    with contextlib.suppress(OSError):  # a system without /dev/null goes on as it was started
        for descriptor in (0, 1, 2):
            try:
                os.fstat(descriptor)
            except OSError:  # the lowest number that is free is this one
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
