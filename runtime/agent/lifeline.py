"""The socket between the supervisor and one child: reports one way, offers the other, and who is still there.

Each message is a word and a text. When either process ends, however that happens, the other reads the end.
"""

from __future__ import annotations

import contextlib
import socket

MAX_MESSAGE_BYTES = 65_536


def lifeline() -> tuple[Lifeline, Lifeline]:
    """The parent's end and the child's; OSError when there is no descriptor left."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Lifeline(ours), Lifeline(theirs)


class Lifeline:
    """One end; nothing here waits."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, to be watched for messages."""
        return self._socket.fileno()

    def send(self, word: str, text: str) -> None:
        """Send a message; it is lost when the other process has ended, or does not read."""
        with contextlib.suppress(OSError):
            self._socket.send(f"{word} {text}".encode(errors="replace")[:MAX_MESSAGE_BYTES])

    def receive(self) -> tuple[str, str] | None:
        """The next message; None when the other process has ended. BlockingIOError when there is none yet."""
        try:
            data = self._socket.recv(MAX_MESSAGE_BYTES)
        except ConnectionError:
            return None
        if not data:
            return None
        word, _, text = data.decode(errors="replace").partition(" ")
        return word, text

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
