"""The metrics port: what it answers, and what it costs whatever its clients do."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from envs.errors import InputError
from runtime.agent import scrapes
from runtime.agent.scrapes import MAX_CONNECTIONS, MAX_REQUEST_BYTES, ScrapePort, answer
from runtime.identity.addresses import Address

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("lan_steps", "Steps taken", registry=made).inc(7)
    return made


@contextlib.asynccontextmanager
async def scraped() -> AsyncIterator[ScrapePort]:
    port = ScrapePort(registry(), Address("127.0.0.1", 0))
    running = asyncio.create_task(port.run())
    yield port
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def connect(port: ScrapePort) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port.address.port)


async def said(port: ScrapePort, request: bytes) -> bytes:
    reader, writer = await connect(port)
    writer.write(request)
    async with asyncio.timeout(10):
        reply = await reader.read()
    writer.close()
    return reply


def first_line(reply: bytes) -> bytes:
    return reply.split(b"\r\n", 1)[0]


REQUESTS = {
    GET: b"HTTP/1.0 200 OK",
    b"GET /metrics?name=x HTTP/1.0\n\n": b"HTTP/1.0 200 OK",
    b"HEAD /metrics HTTP/1.1\r\n\r\n": b"HTTP/1.0 200 OK",
    b"GET / HTTP/1.1\r\n\r\n": b"HTTP/1.0 404 Not Found",
    b"GET /metrics/../secret HTTP/1.1\r\n\r\n": b"HTTP/1.0 404 Not Found",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc": b"HTTP/1.0 405 Method Not Allowed",
    b"DELETE /metrics HTTP/1.1\r\n\r\n": b"HTTP/1.0 405 Method Not Allowed",
    b"MAKE /coffee HTTP/1.1\r\n\r\n": b"HTTP/1.0 501 ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": b"HTTP/1.0 505 ",
    b"GET /metrics HTTP/x\r\n\r\n": b"HTTP/1.0 400 ",
    b"\xff\xfe\x00\r\n\r\n": b"HTTP/1.0 400 ",
    b"\r\n\r\n": b"HTTP/1.0 400 ",
    b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n": b"HTTP/1.0 431 ",
    b"GET /" + b"x" * MAX_REQUEST_BYTES: b"HTTP/1.0 431 ",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("request_", REQUESTS)
async def test_every_request_is_answered(request_: bytes) -> None:
    async with scraped() as port:
        reply = await said(port, request_)
    assert first_line(reply).startswith(REQUESTS[request_])
    assert (b"lan_steps_total 7.0" in reply) == (b"200" in first_line(reply) and request_[:4] != b"HEAD")
    assert b"Python" not in reply


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(
            st.sampled_from([b"GET", b"HEAD", b"PUT", b"\xff", b"GET\x00"]),
            st.sampled_from([b" /metrics", b" //metrics", b" http://[", b" ", b"\t/\xff"]),
            st.sampled_from([b" HTTP/1.1", b" HTTP/0.9", b" HTTP/1.1.1", b"", b" HTTP/99999999999.1"]),
            st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\nA:\x00\r\n\r\n", b"\r\n: \r\n\r\n", b"\n\nx"]),
        ).map(b"".join),
    )
)
def test_no_bytes_are_too_odd_for_an_answer(request: bytes) -> None:
    reply = answer(request, REGISTRY)
    assert bool(reply) == bool(request)


REGISTRY = registry()


@pytest.mark.asyncio
async def test_a_client_that_only_half_closes_is_answered() -> None:
    async with scraped() as port:
        reader, writer = await connect(port)
        writer.write(b"GET /metrics")
        writer.write_eof()
        assert first_line(await reader.read()) == b"HTTP/1.0 200 OK"
        writer.close()


@pytest.mark.asyncio
async def test_idle_connections_hold_no_thread_and_keep_nobody_out() -> None:
    async with scraped() as port:
        threads = threading.active_count()
        idle = [await connect(port) for _ in range(4 * MAX_CONNECTIONS)]
        assert first_line(await said(port, GET)) == b"HTTP/1.0 200 OK"
        assert threading.active_count() == threads
        assert len(port._open) <= MAX_CONNECTIONS
        closed = [await asyncio.wait_for(reader.read(), 5) for reader, _ in idle[: 2 * MAX_CONNECTIONS]]
        assert closed == [b""] * len(closed)  # the oldest gave way
        for _, writer in idle:
            writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("sends", [b"", b"GET /metr"])
async def test_a_client_that_does_not_finish_its_request_is_cut_off(
    sends: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrapes, "EXCHANGE_TIMEOUT_S", 0.2)
    async with scraped() as port:
        assert await said(port, sends) == b""
        assert not port._open


@pytest.mark.asyncio
async def test_a_client_that_takes_no_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "EXCHANGE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(scrapes, "answer", lambda *given: bytes(1 << 24))
    async with scraped() as port:
        with socket.create_connection(("127.0.0.1", port.address.port)) as client:
            client.sendall(GET)
            await asyncio.sleep(0.1)
            assert len(port._open) == 1
            async with asyncio.timeout(5):
                while port._open:
                    await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_a_client_that_sends_for_ever_is_cut_off() -> None:
    async with scraped() as port:
        reader, writer = await connect(port)
        writer.write(GET + bytes(1 << 22))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(4):
                await reader.read()
        writer.transport.abort()


@pytest.mark.asyncio
async def test_connections_that_cannot_be_accepted_pass(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when no descriptor is free: it is said once, and scrapes go on when one is."""
    monkeypatch.setattr(scrapes, "RETRY_S", 0.01)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, 5

    async def failing(sock: socket.socket) -> tuple[socket.socket, object]:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with scraped() as port:
        assert first_line(await said(port, GET)) == b"HTTP/1.0 200 OK"
    assert [record.getMessage() for record in caplog.records if record.name == "lan.agent"] == [
        "a connection to the metrics port failed: Too many open files"
    ]


@pytest.mark.asyncio
async def test_a_port_that_is_gone_ends_the_task_that_answers() -> None:
    port = ScrapePort(registry(), Address("127.0.0.1", 0))
    port._socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        await port.run()


@pytest.mark.asyncio
async def test_a_scrape_that_fails_is_logged_and_the_next_one_is_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: object) -> bytes:
        raise RuntimeError("a collector failed")

    async with scraped() as port:
        with monkeypatch.context() as patch:
            patch.setattr(scrapes, "generate_latest", fail)
            assert await said(port, GET) == b""
        assert "a scrape failed unexpectedly" in caplog.text
        assert first_line(await said(port, GET)) == b"HTTP/1.0 200 OK"


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InputError, match=r"--metrics .* cannot be listened on"):
        ScrapePort(registry(), Address("192.0.2.1", 1))


@pytest.mark.asyncio
async def test_ipv6_and_names_can_be_listened_on() -> None:
    for host in ("::1", "localhost"):
        try:
            port = ScrapePort(registry(), Address(host, 0))
        except InputError:
            assert host == "::1"  # this machine has no IPv6
            continue
        running = asyncio.create_task(port.run())
        reader, writer = await asyncio.open_connection(host, port.address.port)
        writer.write(GET)
        assert first_line(await reader.read()) == b"HTTP/1.0 200 OK"
        writer.close()
        running.cancel()
        await asyncio.wait([running])


def test_a_port_that_others_can_reach_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    port = ScrapePort(registry(), Address("0.0.0.0", 0))
    port._socket.close()
    assert f"metrics are shown at {port.address}, to everybody who can reach it" in caplog.text
