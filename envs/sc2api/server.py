"""The websocket beside the session: `/sc2api`, a thread and a game of its own for every client.

pysc2 sends protobuf in TEXT frames, so text is not looked at; answers are BINARY. A frame is one Request.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from envs.errors import InputError
from envs.sc2api.session import Session

log = logging.getLogger(__name__)

PATH: Final = "/sc2api"
MAX_FRAME_BYTES: Final = 16 << 20
MAX_CLIENTS: Final = 64
HANDSHAKE_DEADLINE_S: Final = 10.0
_READ_BYTES: Final = 1 << 16
_NORMAL, _TOO_BIG = 1000, 1009


class Server:
    """Accepts clients on a listening socket until `close`; `busy_s` is the time spent on answers."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            self._listener = socket.create_server((host, port), family=_family(host))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be listened on: {error}"
            raise InputError(f"port {port} of {host} {reason}; choose another with --port") from None
        self.port: int = self._listener.getsockname()[1]
        self.busy_s = 0.0
        self.n_requests = 0
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self.on_leave: Callable[[], None] | None = None

    def serve(self) -> None:
        """Accept clients until `close` is called from another thread, or by `on_leave`."""
        self._listener.settimeout(0.25)  # close() does not wake an accept
        while not self._is_closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                break
            client.settimeout(HANDSHAKE_DEADLINE_S)
            with self._lock:
                full = len(self._clients) >= MAX_CLIENTS
                if not full:
                    self._clients.add(client)
            if full:
                client.close()
                continue
            threading.Thread(target=self._attend, args=(client,), daemon=True).start()
        self._listener.close()

    def close(self) -> None:
        """Stop accepting, and end every connection."""
        self._is_closed.set()
        with self._lock:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    @property
    def is_closed(self) -> bool:
        return self._is_closed.is_set()

    def _attend(self, client: socket.socket) -> None:
        """One client from its first byte to its last."""
        connection = _Connection(client, Session(), self)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.run()
        except (OSError, EOFError):
            pass  # the client went away
        except Exception:
            log.exception("a connection failed")
        finally:
            with self._lock:
                self._clients.discard(client)
            client.close()
            if self.on_leave is not None and connection.was_accepted:
                self.on_leave()

    def answer(self, session: Session, frame: bytes) -> bytes:
        """What the session answers, timed."""
        start = time.perf_counter()
        answer = session.answer(frame)
        with self._lock:
            self.busy_s += time.perf_counter() - start
            self.n_requests += 1
        return answer


class _Connection:
    """The websocket of one client."""

    def __init__(self, client: socket.socket, session: Session, server: Server) -> None:
        self.client, self.session, self.server = client, session, server
        self.protocol = ServerProtocol(max_size=MAX_FRAME_BYTES)
        self.parts: list[bytes] = []
        self.parts_bytes = 0
        self.was_accepted = False

    def run(self) -> None:
        """Read, answer, write, until either side ends it."""
        while True:
            try:
                data = self.client.recv(_READ_BYTES)
            except TimeoutError:
                return
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            for event in self.protocol.events_received():
                if isinstance(event, Request):
                    self._shake_hands(event)
                elif isinstance(event, Frame):
                    self._take(event)
            self._flush()
            if not data or self.protocol.state is State.CLOSED or self.protocol.close_expected():
                return

    def _shake_hands(self, request: Request) -> None:
        if request.path.partition("?")[0] == PATH:
            response = self.protocol.accept(request)
            self.was_accepted = response.status_code == 101
        else:
            response = self.protocol.reject(404, f"only {PATH} is served here\n")
        self.protocol.send_response(response)
        self.client.settimeout(None)  # a client may think as long as it likes

    def _take(self, frame: Frame) -> None:
        """One frame: a Request, or a part of one. Control frames are the websocket's own business."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if self.protocol.state is not State.OPEN:
            return
        if self.parts or not frame.fin:
            self.parts.append(bytes(frame.data))
            self.parts_bytes += len(frame.data)
            if self.parts_bytes > MAX_FRAME_BYTES:
                self.protocol.send_close(_TOO_BIG, "too long a message")
                return
            if not frame.fin:
                return
            message = b"".join(self.parts)
            self.parts, self.parts_bytes = [], 0
        else:
            message = bytes(frame.data)
        answer = self.server.answer(self.session, message)
        self.protocol.send_binary(answer)
        self._flush()
        if self.session.is_over:
            self.protocol.send_close(_NORMAL)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.client.sendall(data)
            else:
                with contextlib.suppress(OSError):
                    self.client.shutdown(socket.SHUT_WR)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
