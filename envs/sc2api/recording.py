"""The server's recording, in place of a replay: the requests on which a game depends.

Format: the line `LANREC1`, then gzip of serialized Requests, each after its length (u32, little-endian): the
first creates the game, the others join, act, step and debug.
"""

from __future__ import annotations

import gzip
import struct
from typing import Any, Final

from envs.sc2.descriptors import sc2_protocol

MAGIC: Final = b"LANREC1\n"

CHANGES: Final = frozenset({"join_game", "action", "step", "debug"})
"""The requests on which a game depends after it was created."""

MAX_RECORDED_BYTES: Final = 64 << 20
"""A game with more is no longer recorded, and its recording is empty."""


class Recording:
    """The requests of one game."""

    def __init__(self, create: Any) -> None:
        sc_pb = sc2_protocol()
        self._parts = [sc_pb.Request(create_game=create).SerializeToString()]
        self._size = len(self._parts[0])

    def add(self, kind: str, request: Any) -> None:
        """Note a request that has been answered without an error."""
        if kind in CHANGES and self._parts:
            part = request.SerializeToString()
            self._parts.append(part)
            self._size += len(part) + 4
            if self._size > MAX_RECORDED_BYTES:
                self._parts = []

    def to_bytes(self) -> bytes:
        """The recording so far."""
        body = b"".join(struct.pack("<I", len(part)) + part for part in self._parts)
        return MAGIC + gzip.compress(body, compresslevel=6, mtime=0)
