"""HTTP/2 frame by frame, for clients that no gRPC library would be."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS = 1, 4
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(text: bytes) -> bytes:
    """A string of HPACK, as it is; shorter than 127 bytes."""
    assert len(text) < 127
    return bytes([len(text)]) + text


def request_headers(path: bytes, more: dict[bytes, bytes]) -> bytes:
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"agent",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
        **more,
    }
    return b"".join(b"\x00" + literal(name) + literal(value) for name, value in fields.items())


def message(data: bytes = b"") -> bytes:
    """A gRPC message, not compressed."""
    return b"\x00" + struct.pack(">I", len(data)) + data


class RawClient:
    """A connection whose frames are written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1

    def call(
        self,
        path: str | bytes,
        data: bytes | None = None,
        ends: bool = False,
        more: dict[bytes, bytes] | None = None,
    ) -> int:
        """Begin a call, with a message if `data` is given, and return the number of its stream."""
        stream, self._next = self._next, self._next + 2
        path = path.encode() if isinstance(path, str) else path
        self._writer.write(frame(HEADERS, END_HEADERS, stream, request_headers(path, more or {})))
        if data is not None:
            self._writer.write(frame(DATA, END_STREAM if ends else 0, stream, message(data)))
        return stream

    async def frames(self) -> AsyncIterator[Frame]:
        """What the server sends, its settings and pings answered, until it closes the connection."""
        while True:
            try:
                head = await self._reader.readexactly(9)
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if kind in (SETTINGS, PING) and not flags & 1:
                self._writer.write(frame(kind, 1, 0, payload if kind == PING else b""))
            yield Frame(kind, flags, stream, payload)

    async def ends(self, streams: set[int]) -> dict[int, bytes]:
        """Wait until these streams have ended; all headers and trailers of each."""
        found: dict[int, bytes] = dict.fromkeys(streams, b"")
        left = set(streams)
        async for kind, flags, stream, payload in self.frames():
            if stream in left:
                found[stream] += payload if kind == HEADERS else b""
                if kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
                    left.remove(stream)
            if not left:
                return found
        raise AssertionError(f"the server closed the connection before {left} had ended")


@contextlib.asynccontextmanager
async def raw_client(port: int, window: int | None = None, tls: object = None) -> AsyncIterator[RawClient]:
    """A connection to a port of this machine; `window` is how much each stream may send unasked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)  # type: ignore[call-overload]
    settings = struct.pack(
        ">HI", HEADER_TABLE_SIZE, 0
    )  # so that the server's headers can be read as they come
    if window is not None:
        settings += struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
    writer.write(PREFACE + frame(SETTINGS, 0, 0, settings))
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
