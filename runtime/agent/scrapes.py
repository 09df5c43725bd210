"""The port where Prometheus finds an agent's metrics.

It runs in the agent's own loop and starts no thread. Whatever its clients do, it holds a few connections for
a few seconds each, and takes new ones at a bounded rate: scrapes take little time from steps.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

from envs.errors import InputError
from runtime.identity.addresses import Address

MAX_CONNECTIONS = 16
"""Beyond these, the oldest one gives way: somebody who sends nothing keeps nobody out."""
EXCHANGE_TIMEOUT_S = 5.0
"""From the connection to the last byte of the answer."""
MAX_REQUEST_BYTES = 8192
MAX_LEFTOVER_BYTES = 1 << 16
PACE_S = 0.01
"""Pause between two new connections; those that come faster wait in the kernel."""
RETRY_S = 1.0
BACKLOG = 128

log = logging.getLogger("lan.agent")


class ScrapePort:
    """Answers scrapes of `registry` at http://address/metrics; InputError when the port cannot be used.

    It listens from the start; `run` answers.
    """

    def __init__(self, registry: CollectorRegistry, address: Address) -> None:
        self._registry = registry
        self._open: dict[asyncio.Task[None], None] = {}  # oldest first
        try:
            infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            self._socket = socket.create_server(infos[0][4], family=infos[0][0], backlog=BACKLOG)
        except OSError as error:
            raise InputError(
                f"--metrics {address} cannot be listened on: {error.strerror}; choose another one"
            ) from None
        self._socket.setblocking(False)
        self.address = Address(address.host, self._socket.getsockname()[1])
        if not address.is_loopback:
            log.info("metrics are shown at %s, to everybody who can reach it", self.address)

    async def run(self) -> None:
        """Answer until cancelled; OSError when the port itself is gone."""
        with self._socket:
            try:
                while True:
                    connection = await self._accept()
                    if len(self._open) >= MAX_CONNECTIONS:
                        next(iter(self._open)).cancel()
                    task = asyncio.create_task(self._exchange(connection))
                    self._open[task] = None
                    task.add_done_callback(self._open.pop)
                    await asyncio.sleep(PACE_S)
            finally:
                for task in self._open:
                    task.cancel()

    async def _accept(self) -> socket.socket:
        """The next connection; one that fails, as when no descriptor is free, is tried again later."""
        was_well = True
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
                return connection
            except OSError as error:
                if self._socket.fileno() < 0:
                    raise
                if was_well:
                    log.warning("a connection to the metrics port failed: %s", error.strerror)
                was_well = False
                await asyncio.sleep(RETRY_S)

    async def _exchange(self, connection: socket.socket) -> None:
        """Read one request and answer it, in the time that there is."""
        loop = asyncio.get_running_loop()
        try:
            with connection:
                async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                    request = await read_head(connection)
                    await loop.sock_sendall(connection, answer(request, self._registry))
                    connection.shutdown(socket.SHUT_WR)
                    await read_leftover(connection)
        except (OSError, TimeoutError):
            pass  # the client went away, or was too slow; there is nobody to tell
        except Exception:
            log.exception("a scrape failed unexpectedly")


async def read_head(connection: socket.socket) -> bytes:
    """A request's head, or as much of it as comes or may come."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) <= MAX_REQUEST_BYTES and b"\r\n\r\n" not in data and b"\n\n" not in data:
        part = await loop.sock_recv(connection, MAX_REQUEST_BYTES + 1 - len(data))
        if not part:
            break
        data += part
    return data


async def read_leftover(connection: socket.socket) -> None:
    """Take what the client still sends: closed over unread bytes, a connection can lose the answer."""
    loop = asyncio.get_running_loop()
    left = MAX_LEFTOVER_BYTES
    while left > 0 and (part := await loop.sock_recv(connection, left)):
        left -= len(part)


def answer(request: bytes, registry: CollectorRegistry) -> bytes:
    """The HTTP answer to a request's head; nothing when there is no request."""
    return Exchange(request, registry).wfile.getvalue() if request else b""


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer as bytes: the standard library's HTTP without its sockets and threads."""

    server_version = "lan-agent"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"
    wfile: BytesIO

    def __init__(self, request: bytes, registry: CollectorRegistry) -> None:
        self.rfile = BytesIO(request)
        self.wfile = BytesIO()
        self.command = self.requestline = ""
        self._registry = registry
        if len(request) > MAX_REQUEST_BYTES:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self.handle_one_request()
        if not self.wfile.tell():  # as after an empty line
            self.send_error(HTTPStatus.BAD_REQUEST)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._say(HTTPStatus.NOT_FOUND, b"the metrics are at /metrics\n")
            return
        self._say(HTTPStatus.OK, generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._say(HTTPStatus.METHOD_NOT_ALLOWED, b"the metrics can only be read\n")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_POST  # noqa: N815

    def _say(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin an answer, whatever version was asked in: HTTP/0.9 has no status."""
        self.request_version = "HTTP/1.0"
        super().send_response(code, message)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a client must not fill the log."""
