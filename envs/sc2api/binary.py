"""Stands in for the game's binary: takes its command line, serves one client, ends when the client leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from envs.errors import InputError
from envs.text import one_line

FIRST_CLIENT_DEADLINE_S: Final = 300.0
"""A game without a client ends after this time."""


def read_arguments(argv: Sequence[str]) -> tuple[str, int]:
    """Host and port from `-listen HOST -port PORT …`; the game's other flags are ignored."""
    values = {flag: value for flag, value in pairwise(argv) if flag.startswith("-")}
    port = values.get("-port", "")
    if not port.isdecimal() or len(port) > 5 or not 0 < int(port) < 65536:
        raise InputError(f"-port {port[:20]!r} is no port")
    return values.get("-listen", "127.0.0.1"), int(port)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one client; exit code 0, or 2 with a sentence on stderr."""
    try:
        host, port = read_arguments(sys.argv[1:] if argv is None else argv)
        from envs.sc2api.server import Server

        server = Server(host, port)
    except InputError as error:
        print(f"SC2_x64: error: {one_line(error)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # nothing to save
    server.on_leave = server.close

    def give_up() -> None:
        if not server.n_requests:
            server.close()

    timer = threading.Timer(FIRST_CLIENT_DEADLINE_S, give_up)
    timer.daemon = True
    timer.start()
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
