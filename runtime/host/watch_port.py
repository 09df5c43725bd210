"""The port at which browsers watch the battles of `lan-play --watch`: a page, and its news as they come.

Every viewer has a thread of its own, with which it may take its time; the battles do not wait for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

from envs.errors import InputError
from runtime.host.live_view import TICK_S, LiveView, Seen
from runtime.identity.addresses import Address

MAX_CONNECTIONS = 64
"""Beyond these a browser is told `FULL`."""
FULL = b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\ntoo many are watching\n"
TIMEOUT_S = 10.0
"""How long a browser may take to ask, or to take what it is sent."""
FAREWELL_S = 1.0
"""How long the end waits for viewers to hear of it."""
SEND_BUFFER_BYTES = 1 << 17
"""A viewer that reads nothing is noticed once this is full."""
EVENTS = "events"


@contextlib.contextmanager
def watch_port(address: Address, page: str, view: LiveView) -> Iterator[str]:
    """Show `page` and the news of `view` at http://address/ for the block, and yield that with its port.

    InputError when the port cannot be used.
    """
    server = WatchServer(address, page.encode(), view)
    thread = threading.Thread(target=server.serve_forever, args=(TICK_S,), name="watch", daemon=True)
    thread.start()
    try:
        ip = address.ip
        shown = socket.gethostname() if ip is not None and ip.is_unspecified else address.host
        yield f"http://{Address(shown, server.server_address[1])}/"
    finally:
        view.is_over = True
        server.say_farewell()
        server.shutdown()
        server.server_close()


class WatchServer(ThreadingTCPServer):
    """Answers browsers, each in a thread; InputError when the port cannot be used.

    Not the standard library's HTTP server, which asks a name server for its own name when it starts.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: Address, page: bytes, view: LiveView) -> None:
        self.page, self.view, self.only_loopback = page, view, address.is_loopback
        self._open = self._told = 0
        self._changed = threading.Condition()
        try:
            self.address_family = socket.getaddrinfo(address.host, None)[0][0]
            super().__init__((address.host, address.port), Viewer)
        except OSError as error:
            raise InputError(
                f"--watch {address} cannot be listened on: {error.strerror}; choose another one"
            ) from None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless there are too many already."""
        with self._changed:
            if self._open >= MAX_CONNECTIONS:
                with contextlib.suppress(OSError):
                    request.setblocking(False)
                    request.send(FULL)
                self.shutdown_request(request)
                return
            self._open += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One browser, from its question to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open -= 1

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """One more viewer is told the news in this block."""
        with self._changed:
            self._told += 1
        try:
            yield
        finally:
            with self._changed:
                self._told -= 1
                self._changed.notify_all()

    def say_farewell(self) -> None:
        """Wait a little until all viewers have heard that the battles are over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._told, FAREWELL_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away is no error of ours."""


class Viewer(BaseHTTPRequestHandler):
    """One question of a browser."""

    server: WatchServer
    server_version = "lan-play"
    sys_version = ""
    timeout = TIMEOUT_S
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self._is_meant():
            self.send_error(HTTPStatus.FORBIDDEN, "the battles are shown to this machine only")
        elif path == "/":
            self._head("text/html; charset=utf-8", len(self.server.page))
            if self.command == "GET":
                self.wfile.write(self.server.page)
        elif path == f"/{EVENTS}":
            self._head("text/event-stream")
            if self.command == "GET":
                with self.server.telling():
                    self._tell()
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "the battles are at /")

    do_HEAD = do_GET  # noqa: N815

    def _is_meant(self) -> bool:
        """Whether it is asked by a name of loopback, where it listens: a page from elsewhere uses another."""
        try:
            name = urlsplit(f"//{self.headers.get('Host') or 'localhost'}").hostname or ""
        except ValueError:
            return False
        return not self.server.only_loopback or Address(name, 0).is_loopback

    def _head(self, content_type: str, length: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _tell(self) -> None:
        """Send the news at every tick until the battles are over or the browser is gone."""
        view, seen = self.server.view, Seen()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        while True:
            is_last = view.is_over
            events, seen = view.news(seen)
            if events:
                self.wfile.write(events)
            if is_last:
                return
            time.sleep(TICK_S - time.monotonic() % TICK_S)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a browser must not fill the terminal."""
