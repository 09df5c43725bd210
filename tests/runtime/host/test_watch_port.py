"""The port of --watch: what browsers may ask, and that none of them holds anybody up."""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from envs.errors import InputError
from runtime.host import watch_port as module
from runtime.host.live_view import LiveView, Seen
from runtime.host.watch_port import watch_port
from runtime.identity.addresses import Address, parse_address

LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def view() -> LiveView:
    return LiveView(episodes=4)


@pytest.fixture
def address(view: LiveView) -> Iterator[Address]:
    with watch_port(LOOPBACK, "<p>page</p>", view) as url:
        yield address_of(url)


def address_of(url: str) -> Address:
    return parse_address(url.removeprefix("http://").removesuffix("/"))


def ask(address: Address, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def test_the_page_and_nothing_else_is_shown(address: Address) -> None:
    page = ask(address, "GET", "/")
    assert (page.status, page.read()) == (200, b"<p>page</p>")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(address, "HEAD", "/").read() == b""
    assert ask(address, "GET", "/etc/passwd").status == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(address, method, "/").status == 501


def test_news_come_until_the_battles_are_over(view: LiveView) -> None:
    with watch_port(LOOPBACK, "", view) as url:
        response = ask(address_of(url), "GET", "/events")
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.readline() == b"event: game\n"
        assert view.game.encode() in response.readline()
    rest = response.read()
    assert b'"over":true' in rest.rpartition(b"event: team")[2]


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"--watch 127.0.0.1:{port} cannot be listened on"),
            watch_port(Address("127.0.0.1", port), "", LiveView(1)),
        ):
            pass


def test_ipv6_is_served_as_well(view: LiveView) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with watch_port(Address("::1", 0), "page", view) as url:
        assert ask(address_of(url), "GET", "/").read() == b"page"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1", "[", ""])
def test_a_page_from_elsewhere_cannot_read_it_by_a_name_of_its_own(host: str, address: Address) -> None:
    for name in ("localhost", f"127.0.0.1:{address.port}", "[::1]:80"):
        assert ask(address, "GET", "/", Host=name).status == 200
    assert ask(address, "GET", "/", Host=host).status == (403 if host else 200)


class Loud(LiveView):
    """A view whose news fill every buffer at once."""

    def news(self, seen: Seen) -> tuple[bytes, Seen]:
        return b": " + bytes(4_000_000) + b"\n\n", seen


def test_a_viewer_that_reads_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another viewer nor the end."""
    monkeypatch.setattr(module, "FAREWELL_S", 0.3)
    with contextlib.ExitStack() as stack:
        with watch_port(LOOPBACK, "", Loud(1)) as url:
            address = address_of(url)
            deaf = stack.enter_context(socket.create_connection((address.host, address.port)))
            deaf.sendall(b"GET /events HTTP/1.0\r\n\r\n")
            response = ask(address, "GET", "/events")
            for _ in range(3):
                assert len(response.read(4_000_000)) == 4_000_000
            begin_s = time.monotonic()
        assert time.monotonic() - begin_s < 5


def test_too_many_connections_are_closed_and_others_served_again(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 3)
    silent = [socket.create_connection((address.host, address.port)) for _ in range(3)]
    time.sleep(0.3)
    try:
        refused = ask(address, "GET", "/")
    except (http.client.HTTPException, OSError):  # closed before it was asked
        pass
    else:
        assert (refused.status, refused.read()) == (503, b"too many are watching\n")
    for connection in silent:
        connection.close()
    deadline_s = time.monotonic() + 10
    while True:
        with contextlib.suppress(http.client.HTTPException, OSError):
            if ask(address, "GET", "/").status == 200:
                return
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize(
    "words", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 70_000]
)
def test_nonsense_is_answered_or_dropped_without_a_word(
    words: bytes, address: Address, capfd: pytest.CaptureFixture[str]
) -> None:
    connection = socket.create_connection((address.host, address.port), timeout=10)
    with connection, contextlib.suppress(OSError):
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert ask(address, "GET", "/").status == 200
    assert capfd.readouterr() == ("", "")
