"""An agent's ports under clients that open connections, calls and watches, and then do nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos import policy_pb2, policy_pb2_grpc
from runtime.agent import health, ports, server
from runtime.agent.health import MAX_WATCHES
from runtime.identity.addresses import Address
from tests.runtime.agent.test_agent_server import act, served
from tests.runtime.support.http2 import raw_client
from tests.runtime.support.processes import free_ports, started

WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"
SERVING = health_pb2.HealthCheckResponse.SERVING
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_stub(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def asked(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def code_of(call: Any) -> grpc.StatusCode:
    """The status that a call, or the reading of a stream, fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    code: grpc.StatusCode = caught.value.code()
    return code


@contextlib.contextmanager
def idle_connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that send nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for _ in range(count)
        ]


@pytest.mark.asyncio
async def test_the_probes_port_answers_checks_and_knows_no_other_service(small_model_bytes: bytes) -> None:
    port = free_ports(1)
    async with served(small_model_bytes, health=Address("127.0.0.1", port)) as test:
        for channel in (test.channel, grpc.aio.insecure_channel(f"127.0.0.1:{port}")):
            stub = health_stub(channel)
            for name in ("", "lan.policy.v1.PolicyService"):
                assert (await stub.Check(asked(name))).status == SERVING
            assert await code_of(stub.Check(asked("other"))) is grpc.StatusCode.NOT_FOUND
        policy: Any = policy_pb2_grpc.PolicyServiceStub(channel)
        assert await code_of(policy.Act(act(0))) is grpc.StatusCode.UNIMPLEMENTED
        await channel.close()


@pytest.mark.asyncio
async def test_watchers_hear_of_the_end_and_hold_up_nothing(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, grace_s=30.0) as test:
        stub = health_stub(test.channel)
        watches = [stub.Watch(asked()) for _ in range(MAX_WATCHES)]
        for watch in watches:
            assert (await watch.read()).status == SERVING
        assert await code_of(stub.Watch(asked()).read()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Check(asked())).status == SERVING
        test.stop.set()
        for watch in watches:
            assert (await watch.read()).status == NOT_SERVING
            assert await watch.read() is grpc.aio.EOF  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_watch_ends_after_a_while_and_makes_room(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, idle_s=0.3) as test:
        stub = health_stub(test.channel)
        for _ in range(2):
            watches = [stub.Watch(asked("other")) for _ in range(MAX_WATCHES)]
            for watch in watches:
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            for watch in watches:
                assert await code_of(watch.read()) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_a_watcher_that_takes_no_news_does_not_hold_up_the_agents_end(small_model_bytes: bytes) -> None:
    port = free_ports(1)
    async with (
        served(small_model_bytes, grace_s=0.5, health=Address("127.0.0.1", port)) as test,
        raw_client(test.address.port, window=0) as host,
        raw_client(port, window=0) as probe,
    ):
        for client in (host, probe):
            client.call(WATCH, b"", ends=True)
        await asyncio.sleep(0.3)
        test.stop.set()  # `served` waits 10 s for the server


@pytest.mark.asyncio
async def test_whatever_a_probe_does_its_connection_ends(
    small_model_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_CONNECTION_S", 0.5)
    port = free_ports(1)
    async with (
        served(small_model_bytes, health=Address("127.0.0.1", port)),
        raw_client(port) as silent,
        raw_client(port, window=0) as deaf,
        raw_client(port) as half,
    ):
        deaf.call(WATCH, b"", ends=True)
        for _ in range(health.CALLS_PER_PROBE_CONNECTION):
            half.call(CHECK)
        async with asyncio.timeout(10), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert (await health_stub(channel).Check(asked())).status == SERVING
            for client in (silent, deaf, half):
                async for _ in client.frames():
                    pass


@pytest.mark.asyncio
async def test_checks_whose_answer_nobody_takes_keep_no_probe_out(small_model_bytes: bytes) -> None:
    port = free_ports(1)
    async with (
        served(small_model_bytes, health=Address("127.0.0.1", port), grace_s=0.5),
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(20):
            client = await stack.enter_async_context(raw_client(port, window=0))
            for path in (CHECK, CHECK, CHECK, WATCH):
                client.call(path, b"", ends=True)
        await asyncio.sleep(0.3)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OWN_CONNECTION) as channel:
            assert (await health_stub(channel).Check(asked(), timeout=5)).status == SERVING


@pytest.mark.asyncio
async def test_connections_that_say_nothing_are_closed_and_make_room(
    small_model_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(ports, "HANDSHAKE_TIMEOUT_S", 1.0)
    async with served(small_model_bytes) as test:
        stream = test.stub.ActStream()
        await stream.write(act(0))
        assert (await stream.read()).step == 0
        with idle_connections(test.address.port, 30) as idle:
            await stream.write(act(1))
            assert (await stream.read()).step == 1
            async with grpc.aio.insecure_channel(str(test.address), OWN_CONNECTION) as channel:
                stub: Any = policy_pb2_grpc.PolicyServiceStub(channel)
                await stub.Describe(policy_pb2.DescribeRequest(), wait_for_ready=True, timeout=10)
            for connection in idle:
                assert await asyncio.to_thread(connection.recv, 1 << 16) is not None
        stream.cancel()


@pytest.mark.asyncio
async def test_connections_without_calls_are_closed_and_hosts_open_new_ones(
    small_model_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "CONNECTION_IDLE_S", 0.5)
    async with served(small_model_bytes) as test, raw_client(test.address.port) as silent:
        await test.stub.Act(act(0))
        async with asyncio.timeout(10):
            async for _ in silent.frames():
                pass
        assert (await test.stub.Act(act(1))).step == 1


@pytest.mark.asyncio
async def test_calls_without_a_message_cost_little_however_many_there_are(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, max_concurrent_rpcs=4) as test:
        before = len(asyncio.all_tasks())
        async with raw_client(test.address.port) as client:
            for _ in range(30_000):
                client.call("/lan.policy.v1.PolicyService/Act")
            for _ in range(20):
                await asyncio.sleep(0.1)
                assert len(asyncio.all_tasks()) < before + 2 * (4 + server.MORE_STREAMS) + 50


def test_idle_connections_to_every_port_stop_neither_steps_nor_hosts_nor_probes_nor_scrapes(
    model_file: Path, tmp_path: Path
) -> None:
    """More of them than the process may have files open."""
    port = free_ports(3)
    limited = ("sh", "-c", 'ulimit -n 256; exec "$0" "$@"')
    with started(
        "agent", "--model", model_file, "--agent-id", 0, "--listen", f"127.0.0.1:{port}",
        "--health", f"127.0.0.1:{port + 1}", "--metrics", f"127.0.0.1:{port + 2}",
        until="serves", log=tmp_path / "log", before=limited,
    ) as agent:  # fmt: skip
        threads = len(list(Path(f"/proc/{agent.process.pid}/task").iterdir()))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, contextlib.ExitStack() as stack:
            stub: Any = policy_pb2_grpc.PolicyServiceStub(channel)
            stream = iter(stub.ActStream(map(act, range(1000)), timeout=60))
            assert next(stream).step == 0
            for index in range(3):
                stack.enter_context(idle_connections(port + index, 270))
            assert [next(stream).step for _ in range(5)] == [1, 2, 3, 4, 5]
            url = f"http://127.0.0.1:{port + 2}/metrics"
            with urllib.request.urlopen(url, timeout=10) as scrape:
                assert b"lan_steps_total" in scrape.read()
            for address in (f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"):
                with grpc.insecure_channel(address, OWN_CONNECTION) as another:
                    check = health_pb2_grpc.HealthStub(another).Check  # type: ignore[no-untyped-call]
                    assert check(asked(), wait_for_ready=True, timeout=15).status == SERVING
            assert len(list(Path(f"/proc/{agent.process.pid}/task").iterdir())) <= threads + 4
            stop_s = time.monotonic()
            agent.process.terminate()
            assert agent.process.wait(15) == 0
            assert time.monotonic() - stop_s < 10
    assert "Traceback" not in (tmp_path / "log").read_text()
