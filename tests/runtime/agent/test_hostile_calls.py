"""Calls that no client library would make: they hold nothing, end in time, and are seen by the operator."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.agent import calls, guard, server
from runtime.agent.episodes import EpisodeTable
from runtime.agent.server import ServingError
from runtime.identity.addresses import Address
from runtime.identity.tls import server_credentials
from tests.runtime.agent.test_agent_server import Served, act, details, served
from tests.runtime.support.certificates import files, make_pki
from tests.runtime.support.http2 import RawClient, raw_client
from tests.runtime.support.processes import free_ports

pytestmark = pytest.mark.asyncio
SERVICE = "/lan.policy.v1.PolicyService"
POLICY = [f"{SERVICE}/{name}" for name in ("Describe", "Act", "ActStream", "EndEpisode")]
OTHERS = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
NO_TEXT = [b"\xff", b"/\xff", b"/\xed\xa0\x80", b"/\xc0\xaf", f"{SERVICE}/".encode() + b"\xff", b"/\x80/\x80"]
ODD = [b"", b"/", b"Act", b"//", b"/a/b/c/d", f"{SERVICE}/Act/".encode(), f"{SERVICE}/act".encode()]
UNIMPLEMENTED, DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED = b"12", b"4", b"7", b"8"


def status(headers: bytes) -> bytes:
    """The number of a status, from headers that were compressed without Huffman's code."""
    length = headers.index(b"grpc-status") + len(b"grpc-status")
    return headers[length + 1 : length + 1 + headers[length]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for module in (calls, guard):
        monkeypatch.setattr(module, "PEER_S", 0.4)
    monkeypatch.setattr(calls, "END_S", 0.2)
    monkeypatch.setattr(server, "SWEEP_INTERVALS_S", (0.02, 0.05))


async def still_serves(test: Served, episode_id: str) -> None:
    assert (await test.stub.Act(act(0, episode_id), timeout=5)).step == 0


@pytest.mark.parametrize("path", NO_TEXT + ODD)
async def test_a_path_that_is_no_method_is_unimplemented_and_everybody_else_served_on(
    small_model_bytes: bytes, path: bytes
) -> None:
    port = free_ports(1)
    async with served(small_model_bytes, health=Address("127.0.0.1", port)) as test:
        for at in (test.address.port, port):
            async with raw_client(at) as client, asyncio.timeout(5):
                stream = client.call(path)
                assert status((await client.ends({stream}))[stream]) == UNIMPLEMENTED
        await still_serves(test, "e")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=5)).status == 1


@pytest.mark.parametrize("path", POLICY + OTHERS)
async def test_calls_without_a_message_hold_nothing_and_are_ended(
    small_model_bytes: bytes, path: str, quick: None
) -> None:
    async with served(small_model_bytes, max_concurrent_rpcs=2, reflection=True) as test:
        async with raw_client(test.address.port) as client, asyncio.timeout(5):
            streams = {client.call(path) for _ in range(40)}
            await asyncio.sleep(0.1)
            await still_serves(test, "during")
            ends = await client.ends(streams)
        assert {status(headers) for headers in ends.values()} == {DEADLINE_EXCEEDED}


async def test_more_calls_without_a_message_than_are_kept_end_the_oldest_of_them(
    small_model_bytes: bytes,
) -> None:
    async with (
        served(small_model_bytes, max_concurrent_rpcs=2) as test,
        raw_client(test.address.port) as client,
        asyncio.timeout(5),
    ):
        streams = [client.call(POLICY[1]) for _ in range(calls.UNADMITTED_CALLS + 50)]
        await still_serves(test, "during")
        await client.ends(set(streams[:20]))


@pytest.mark.parametrize("path", POLICY + OTHERS)
async def test_who_is_not_the_host_is_refused_before_it_has_sent_a_message(
    small_model_bytes: bytes, tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    pki = make_pki(tmp_path)
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other.check_hostname = False
    other.load_verify_locations(pki / "ca.pem")
    other.load_cert_chain(pki / "agent-1.pem", pki / "agent-1-key.pem")
    other.set_alpn_protocols(["h2"])
    credentials = server_credentials(files(pki, "agent-2"), 2)
    port = free_ports(1)
    limits: dict[str, Any] = {"reflection": True, "max_concurrent_rpcs": 2}
    async with (
        served(
            small_model_bytes, credentials=credentials, metrics=Address("127.0.0.1", port), **limits
        ) as test,
        raw_client(test.address.port, tls=other) as client,
        asyncio.timeout(5),
    ):
        streams = {client.call(path) for _ in range(40)}
        ends = await client.ends(streams)
        assert {status(headers) for headers in ends.values()} == {PERMISSION_DENIED}
        text = await asyncio.to_thread(scrape, port)
    assert 'lan_rejected_total{reason="NOT_THE_HOST"} 40.0' in text
    refusals = [record for record in caplog.records if "NOT_THE_HOST" in record.message]
    assert len(refusals) == 40
    assert all("from ipv4:127.0.0.1:" in record.message for record in refusals)


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("path", "ends"),
    [
        (f"{SERVICE}/Describe", True),
        (f"{SERVICE}/Act", True),
        (f"{SERVICE}/ActStream", False),
        ("/grpc.health.v1.Health/Check", True),
        ("/grpc.health.v1.Health/Watch", True),
    ],
)
async def test_a_peer_that_takes_no_answer_is_cut_off(
    small_model_bytes: bytes, path: str, ends: bool, quick: None
) -> None:
    data = act(0, "e").SerializeToString() if "Act" in path else b""
    async with (
        served(small_model_bytes, reflection=True) as test,
        raw_client(test.address.port, window=0) as client,
        asyncio.timeout(10),
    ):
        stream = client.call(path, data, ends)
        await client.ends({stream})
        await still_serves(test, "after")


async def test_one_that_takes_no_answer_to_its_watch_holds_up_no_stop(small_model_bytes: bytes) -> None:
    async with (
        served(small_model_bytes, grace_s=0.2) as test,
        raw_client(test.address.port, window=0) as client,
        asyncio.timeout(8),
    ):
        for _ in range(3):
            client.call("/grpc.health.v1.Health/Watch", b"", True)
        await asyncio.sleep(0.2)
        test.stop.set()
        async for _ in client.frames():
            pass  # until the server has closed the connection


async def test_a_quiet_watch_does_not_stay_for_ever(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, idle_s=0.3) as test:
        health: Any = health_pb2_grpc.HealthStub(test.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert details(caught.value)[0].reason == "IDLE"


@pytest.mark.parametrize("name", [b"x-note", b"x-note-bin", b":authority", b"user-agent", b"grpc-timeout"])
async def test_headers_that_are_no_text_reveal_nothing_and_stop_nobody(
    small_model_bytes: bytes, name: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        served(small_model_bytes) as test,
        raw_client(test.address.port) as client,
        asyncio.timeout(5),
    ):
        await client.ends({client.call(POLICY[0], b"", True, {name: b"\xff\xfe"})})
        await still_serves(test, "after")
    assert not [record for record in caplog.records if record.exc_info]


async def test_other_services_cannot_take_the_calls_of_the_policy(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, max_concurrent_rpcs=1, reflection=True) as test:
        health: Any = health_pb2_grpc.HealthStub(test.channel)
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        streams = [test.channel.stream_stream(path)() for _ in range(calls.SIDE_CALLS)]
        for stream in streams:
            await stream.write(b"")
            assert await stream.read() is not grpc.aio.EOF  # type: ignore[attr-defined]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest())
        assert details(caught.value)[0].reason == "TOO_MANY_CALLS"
        await still_serves(test, "e")
        for stream in streams:
            stream.cancel()


async def test_calls_beyond_the_limit_are_counted_and_logged(
    small_model_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    port = free_ports(1)
    address = Address("127.0.0.1", port)
    async with served(small_model_bytes, max_concurrent_rpcs=1, metrics=address) as test:
        stream = test.stub.ActStream()
        await stream.write(act(0))
        await stream.read()
        for _ in range(50):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await test.stub.Act(act(0, "other"))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        text = await asyncio.to_thread(scrape, port)
        stream.cancel()
        await asyncio.sleep(0.1)
        await still_serves(test, "other")
    assert 'lan_rejected_total{reason="TOO_MANY_CALLS"} 50.0' in text
    assert 'grpc_code="RESOURCE_EXHAUSTED",grpc_method="Act"' in text
    assert len([record for record in caplog.records if "TOO_MANY_CALLS" in record.message]) == 50


async def test_ended_calls_leave_room_again(small_model_bytes: bytes, quick: None) -> None:
    """Every way in which a call can end, many times over a limit of one."""
    async with served(small_model_bytes, max_concurrent_rpcs=1) as test:
        for turn in range(3):
            for path, data in [(POLICY[1], b"\xff"), (POLICY[1], None), (POLICY[2], b"\xff"), (b"/no", b"")]:
                await ended_by_the_server(test, path, data)
            async with raw_client(test.address.port) as client:
                client.call(POLICY[2], act(0, f"gone-{turn}").SerializeToString())
                await asyncio.sleep(0.05)  # then the connection breaks
            await asyncio.sleep(0.05)
            await test.stub.EndEpisode(guard_request(f"gone-{turn}"))
            await still_serves(test, f"turn-{turn}")


def guard_request(episode_id: str) -> Any:
    from protos import policy_pb2

    return policy_pb2.EndEpisodeRequest(episode_id=episode_id)


async def ended_by_the_server(test: Served, path: str | bytes, data: bytes | None) -> None:
    async with raw_client(test.address.port) as client, asyncio.timeout(5):
        await ends_one(client, path, data)


async def ends_one(client: RawClient, path: str | bytes, data: bytes | None) -> None:
    stream = client.call(path, data)
    await client.ends({stream})


async def serve_until_it_ends(table: EpisodeTable, **config: Any) -> None:
    async with asyncio.timeout(10):
        await server.serve(
            table,
            Address("127.0.0.1", 0),
            server.ServerConfig(**config),
            on_ready=lambda address: None,
            stop=asyncio.Event(),
        )


@pytest.fixture
def table(small_model_bytes: bytes) -> EpisodeTable:
    from runtime.agent.policy import AgentPolicy
    from runtime.model_file.loader import load_model_bytes

    policy = AgentPolicy(load_model_bytes(small_model_bytes, "test"), 2)
    return EpisodeTable(policy, max_episodes=4, idle_s=60.0)


@pytest.mark.parametrize("which", [0, 1])
async def test_the_end_of_a_server_that_nobody_stopped_ends_the_agent(
    table: EpisodeTable, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """`which`: the server of the policy, or of the health port."""
    made: list[calls.AcceptingServer] = []

    class Ending(calls.AcceptingServer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

        async def _accept(self, method: bytes | None) -> None:
            if made.index(self) == which:
                await asyncio.sleep(0.1)
                raise ValueError("the loop that accepts calls is broken")
            await super()._accept(method)

    monkeypatch.setattr(calls, "AcceptingServer", Ending)
    with pytest.raises(ServingError, match=r"the server on .* has ended: the loop that accepts calls is"):
        await serve_until_it_ends(table, health=Address("127.0.0.1", free_ports(1)), grace_s=0.1)


async def test_the_end_of_the_search_for_what_is_overdue_ends_the_agent(
    table: EpisodeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now_s: float) -> int:
        raise ValueError("a bug")

    monkeypatch.setattr(table, "expire", fail)
    monkeypatch.setattr(server, "SWEEP_INTERVALS_S", (0.01, 0.02))
    with pytest.raises(ServingError, match="the search for what is overdue has ended: a bug"):
        await serve_until_it_ends(table)


async def test_a_disk_error_while_idle_episodes_are_forgotten_passes(
    small_model_bytes: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "SWEEP_INTERVALS_S", (0.01, 0.02))
    async with served(small_model_bytes, idle_s=0.1) as test:
        expire, failures = test.table.expire, []

        def fail_twice(now_s: float) -> int:
            if len(failures) < 2:
                failures.append(now_s)
                raise OSError(5, "Input/output error")
            return expire(now_s)

        await still_serves(test, "e")
        monkeypatch.setattr(test.table, "expire", fail_twice)
        async with asyncio.timeout(5):
            while len(test.table):
                await asyncio.sleep(0.01)
    said = [record.message for record in caplog.records if "could not be forgotten" in record.message]
    assert said == ["idle episodes could not be forgotten: Input/output error"] * 2
