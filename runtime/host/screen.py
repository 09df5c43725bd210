"""The host's console on stderr. The battles do not depend on it: what nobody reads is left out."""

from __future__ import annotations

import contextlib
import logging
import select
import sys
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console


class Expendable:
    """A text stream that leaves out what its file does not take: nobody reads, or the disk is full.

    A full pipe too would hold up the whole host, so that a text is written only where there is room for it:
    `envs.console` waits half a second for a reader, which would cost every agent its step, and
    `runtime.outlets` gives whole lines, while a terminal's progress bar has none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream  # None where the process was started without

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and bool(self._stream.isatty())

    def write(self, text: str) -> int:
        """Write the lines for which there is room."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            for line in text.splitlines(keepends=True) if self._stream is not None else ():
                if self._has_room():
                    self._stream.write(line)
                    self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Nothing: every line was flushed."""

    def _has_room(self) -> bool:
        """Whether a line, which is shorter than a page of a pipe, can be written without waiting."""
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError, AttributeError):
            return True  # a stream of Python's, in a test for example
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))


def make_screen() -> Console:
    """A console on stderr."""
    from rich.console import Console

    return Console(file=cast("IO[str]", Expendable(sys.stderr)))


def start_log(screen: Console) -> None:
    """Show the log on the screen; where that is no terminal, every record is one line, whoever wrote it."""
    from rich.logging import RichHandler

    handler: logging.Handler = RichHandler(console=screen, show_path=False, show_level=False)
    if not screen.is_terminal:
        handler = logging.StreamHandler(screen.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
