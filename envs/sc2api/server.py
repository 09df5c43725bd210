"""The websocket in front of the session: it serves `/sc2api` and plays a game for every client.

pysc2 sends protobuf in TEXT frames, so frames are not decoded as text; answers are BINARY. A message is one
Request.

Every wait ends. A client has `DEADLINE_S` to shake hands, to take an answer, and to close; for its next
request it has `IDLE_S` where it has no game, `IDLE_IN_GAME_S` where it has one, because a trainer may leave
the game in which it evaluates alone for long. A connection also ends when its machine no longer answers
TCP's probes. The websocket's own pings are off, because pysc2's client answers them only while it waits for
a response.

What clients can take has limits: their number, the length of a message, and one long message at a time,
since a message takes many times its length while it is read.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.sync.server import ServerConnection, serve

from envs.errors import InputError
from envs.sc2api.session import Session

PATH: Final = "/sc2api"
MAX_MESSAGE_BYTES: Final = 4 << 20
LONG_MESSAGE_BYTES: Final = 64 << 10
MAX_CLIENTS: Final = 64
DEADLINE_S: Final = 10.0
IDLE_S: Final = 300.0
IDLE_IN_GAME_S: Final = 86_400.0

_PROBES: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
"""TCP probes a silent client after 60 s, then every 10 s, and gives it up after 6 unanswered ones."""
_RETRY_S: Final = 0.1


class Listener(socket.socket):
    """Accepts up to `MAX_CLIENTS` clients at a time, and goes on when one cannot be accepted.

    websockets would end its server by the first error of `accept`, such as too many open files.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__(fileno=socket.create_server((host, port), family=family).detach())
        self._clients: set[socket.socket] = set()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next client for which there is a place; the others are dropped."""
        while True:
            try:
                client, address = super().accept()
            except OSError as error:
                if self.fileno() < 0 or error.errno in (errno.EBADF, errno.EINVAL):  # the server closes
                    raise
                time.sleep(_RETRY_S)
                continue
            self._clients = {known for known in self._clients if known.fileno() >= 0}
            if len(self._clients) < MAX_CLIENTS:
                self._clients.add(client)
                return client, address
            client.close()


class Server:
    """Listens at once and accepts clients in `serve` until `close`; `n_requests` counts their requests.

    InputError when the port cannot be had. `on_leave` is called after a client with a session has left.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        deadline_s: float = DEADLINE_S,
        idle_s: tuple[float, float] = (IDLE_S, IDLE_IN_GAME_S),
    ) -> None:
        try:
            host.encode("idna")  # as the look-up does, which leaves an open socket behind
            listener = Listener(host, port)
        except (OSError, UnicodeError) as error:
            raise InputError(why_not_listening(host, port, error)) from None
        self.port: int = listener.getsockname()[1]
        self.n_requests = 0
        self.on_leave: Callable[[], None] | None = None
        self._deadline_s, self._idle_s = deadline_s, idle_s
        self._lock = threading.Lock()
        self._long_message = threading.Lock()
        self._websockets = serve(
            self._attend,
            sock=listener,
            process_request=refusal,
            open_timeout=deadline_s,
            close_timeout=deadline_s,
            ping_interval=None,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=1,  # a client waits for its answer before it asks again
        )

    def serve(self) -> None:
        """Serve clients until `close` is called, and return when the last connection has ended."""
        with self._websockets:
            try:
                self._websockets.serve_forever()
            finally:
                for client in (
                    self._websockets.connections
                ):  # at once: the library's shutdown waits for a few after the other
                    threading.Thread(target=client.close, args=(CloseCode.GOING_AWAY,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting and end every connection; returns at once, since a client's thread may call it."""
        threading.Thread(target=self._websockets.shutdown, daemon=True).start()

    def _attend(self, connection: ServerConnection) -> None:
        """Play with one client, from the end of its handshake until it leaves."""
        session = Session()
        try:
            connection.socket.settimeout(
                self._deadline_s
            )  # for sending: the library polls before it receives
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _PROBES:
                connection.socket.setsockopt(socket.IPPROTO_TCP, option, value)
            while not session.is_over:
                request = self._next_request(connection, self._idle_s[session.battle is not None])
                with self._lock:
                    self.n_requests += 1
                long = len(request) > LONG_MESSAGE_BYTES
                with self._long_message if long else contextlib.nullcontext():
                    answer = session.answer(request)
                connection.send(answer)
        except (ConnectionClosed, OSError):
            pass  # the client went away, or asked nothing for too long (TimeoutError)
        finally:
            connection.close()
            if self.on_leave is not None:
                self.on_leave()

    def _next_request(self, connection: ServerConnection, idle_s: float) -> bytes:
        """The next request; TimeoutError when none comes in time, or when the connection is closing.

        A connection that has broken the protocol closes, yet the library waits on for what it may send.
        """
        end_s = time.monotonic() + idle_s
        while True:
            left_s = end_s - time.monotonic()
            try:
                return connection.recv(min(left_s, self._deadline_s), decode=False)
            except TimeoutError:
                if left_s <= self._deadline_s or connection.state is not OPEN:
                    raise


def why_not_listening(host: str, port: int, error: Exception) -> str:
    """What is wrong with the address, and which flag to change."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"port {port} of {host} is taken; choose another with --port"
    if number == errno.EACCES:
        return (
            f"port {port} of {host} may not be listened on by this user; choose one from 1024 on with --port"
        )
    text = (error.strerror if isinstance(error, OSError) else None) or "it cannot be the name of a machine"
    cause = text.partition(" (while attempting")[0]  # where Python goes on with a tuple
    return f"{host!r} cannot be listened on: {cause}; choose an address of this machine with --host"


def refusal(connection: ServerConnection, request: Request) -> Response | None:
    """The response to a handshake that asks for another path or comes from a web page, None to a good one.

    A browser sends its page's origin. pysc2's client sends the address it connects to, so this is allowed.
    """
    if request.path.partition("?")[0] != PATH:
        return connection.respond(HTTPStatus.NOT_FOUND, f"only {PATH} is served here\n")
    own = {f"http://{host}" for host in request.headers.get_all("Host")}
    if not own.issuperset(request.headers.get_all("Origin")):
        return connection.respond(HTTPStatus.FORBIDDEN, "web pages of other origins are not served\n")
    return None
