"""The server's recording, in place of a replay: the requests on which a game depends.

Format: the line `LANREC1`, then gzip of serialized Requests, each after its length (u32, little-endian): the
first creates the game, the others join, act, step and debug.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

from envs.sc2.descriptors import sc2_protocol

MAGIC: Final = b"LANREC1\n"

CHANGES: Final = frozenset({"join_game", "action", "step", "debug"})
"""The requests on which a game depends after it was created."""

MAX_RECORDED_BYTES: Final = 4 << 20
"""Compressed. A game with more is no longer recorded, and its recording is empty."""
_GZIP: Final = 31
"""zlib's number for gzip's format."""


class Recording:
    """The requests of one game."""

    def __init__(self, create: Any) -> None:
        self._packer = zlib.compressobj(1, wbits=_GZIP)
        self._packed = bytearray()
        self._is_full = False
        self._write(sc2_protocol().Request(create_game=create))

    def add(self, kind: str, request: Any) -> None:
        """Note a request that has been answered without an error."""
        if kind in CHANGES and not self._is_full:
            self._write(request)

    def to_bytes(self) -> bytes:
        """The recording so far."""
        if self._is_full:
            return MAGIC + zlib.compress(b"", wbits=_GZIP)
        return MAGIC + self._packed + self._packer.copy().flush()

    def _write(self, request: Any) -> None:
        part = request.SerializeToString()
        self._packed += self._packer.compress(struct.pack("<I", len(part)) + part)
        if len(self._packed) > MAX_RECORDED_BYTES:
            self._is_full = True
            self._packed.clear()
