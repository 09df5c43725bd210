from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from envs.errors import InputError
from protos import policy_pb2, policy_pb2_grpc
from protos.contract import SERVICE_NAME
from runtime.agent.episodes import EpisodeTable
from runtime.agent.policy import AgentPolicy
from runtime.agent.server import ServerConfig, serve
from runtime.identity.addresses import Address
from runtime.model_file.loader import load_model_bytes
from tests.runtime.support.processes import free_ports
from tests.runtime.support.tag_env import SPEC

pytestmark = pytest.mark.asyncio
ALL = bytes([0, 1, 1, 1, 1])


class Served:
    """A running server, its table, and a client of it."""

    def __init__(self, table: EpisodeTable, address: Address, channel: grpc.aio.Channel) -> None:
        self.table = table
        self.address = address
        self.channel = channel
        self.stub: Any = policy_pb2_grpc.PolicyServiceStub(channel)
        self.stop = asyncio.Event()


@contextlib.asynccontextmanager
async def served(model_bytes: bytes, idle_s: float = 60.0, **config: Any) -> AsyncIterator[Served]:
    policy = AgentPolicy(load_model_bytes(model_bytes, "test"), 2)
    table = EpisodeTable(policy, max_episodes=4, idle_s=idle_s)
    stop = asyncio.Event()
    ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve(table, Address("127.0.0.1", 0), ServerConfig(**config), on_ready=ready.set_result, stop=stop)
    )
    await asyncio.wait([ready, server], return_when=asyncio.FIRST_COMPLETED)
    async with grpc.aio.insecure_channel(str(ready.result())) as channel:
        test = Served(table, ready.result(), channel)
        test.stop = stop
        yield test
        stop.set()
        async with asyncio.timeout(10):
            await server


def act(step: int, episode_id: str = "e", **changes: Any) -> policy_pb2.ActRequest:
    obs = np.random.default_rng(step).standard_normal(SPEC.obs_dim).astype("<f4").tobytes()
    fields = {"observation": obs, "available_actions": ALL, **changes}
    return policy_pb2.ActRequest(episode_id=episode_id, step=step, **fields)


async def over_a_stream(test: Served, request: policy_pb2.ActRequest) -> Any:
    stream = test.stub.ActStream()
    await stream.write(request)
    return await stream.read()


def details(error: grpc.aio.AioRpcError) -> tuple[Any, Any]:
    """ErrorInfo and BadRequest of an error; the latter empty when it is not there."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            assert status.code == error.code().value[0]
            assert status.message == error.details()
            for detail in status.details:
                assert detail.Unpack(info) or detail.Unpack(bad)
    return info, bad


async def test_describe_says_who_answers(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        reply = await test.stub.Describe(policy_pb2.DescribeRequest())
    assert reply.agent_id == 2
    assert reply.model_sha256 == test.table.policy.digest
    assert (reply.environment, reply.obs_dim, reply.n_actions, reply.n_agents) == ("tag", 13, 5, 3)
    assert reply.contract_version == SPEC.contract_version
    assert reply.server_version


async def test_single_calls_and_streams_are_the_same_steps(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        for step in range(6):
            await test.stub.Act(act(step, "calls"))
        alone = [await test.stub.Act(act(step, "alone")) for step in range(6)]
        stream = test.stub.ActStream()
        mixed = []
        for step in range(6):
            if step % 2:
                mixed.append(await test.stub.Act(act(step, "mixed")))
            for _ in range(2):  # the stream repeats what the call has done
                await stream.write(act(step, "mixed"))
                reply = await stream.read()
            if not step % 2:
                mixed.append(reply)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert mixed == alone
        assert test.table.steps == 18
        assert test.table.duplicates == 9


async def test_advantages_come_on_request_and_explain_the_action(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        plain = await test.stub.Act(act(0))
        asked = await test.stub.Act(act(0, include_advantages=True))
    assert plain.advantages == b""
    advantages = np.frombuffer(asked.advantages, "<f4")
    assert advantages.shape == (SPEC.n_actions,)
    masked = np.where(np.frombuffer(ALL, bool), advantages, -np.inf)
    assert masked.argmax() == asked.action == plain.action


@pytest.mark.parametrize("rpc", ["Act", "ActStream"])
async def test_a_refusal_carries_status_reason_and_field(small_model_bytes: bytes, rpc: str) -> None:
    async def status_of(request: policy_pb2.ActRequest) -> tuple[str, str, dict[str, str], list[str]]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (test.stub.Act(request) if rpc == "Act" else over_a_stream(test, request))
        info, bad = details(caught.value)
        assert info.domain == "lan.policy.v1"
        fields = [violation.field for violation in bad.field_violations]
        return caught.value.code().name, info.reason, dict(info.metadata), fields

    async with served(small_model_bytes) as test:
        nan = np.full(SPEC.obs_dim, np.nan, "<f4").tobytes()
        for request, field in [
            (act(0, observation=nan), "observation"),
            (act(0, observation=b"x"), "observation"),
            (act(0, available_actions=bytes(5)), "available_actions"),
            (act(0, ""), "episode_id"),
        ]:
            wanted = ("INVALID_ARGUMENT", "INVALID_FIELD", {"field": field}, [field])
            assert await status_of(request) == wanted
        wanted = ("NOT_FOUND", "UNKNOWN_EPISODE", {"expected_step": "0"}, [])
        assert await status_of(act(3)) == wanted
        await test.stub.Act(act(0))
        wanted = (
            "FAILED_PRECONDITION",
            "STEP_OUT_OF_ORDER",
            {"expected_step": "1", "field": "step"},
            ["step"],
        )
        assert await status_of(act(2)) == wanted
        assert test.table.steps == 1


@pytest.mark.parametrize(
    "rpc",
    [
        "/lan.policy.v1.PolicyService/Describe",
        "/lan.policy.v1.PolicyService/Act",
        "/lan.policy.v1.PolicyService/ActStream",
        "/lan.policy.v1.PolicyService/EndEpisode",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_a_malformed_message_is_refused_without_a_trace_of_the_code(
    small_model_bytes: bytes, rpc: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(small_model_bytes, reflection=True) as test:
        if rpc.endswith(("Stream", "Info")):
            call = test.channel.stream_stream(rpc)(iter([b"\xff\xff"]))
        else:
            kind = test.channel.unary_stream if rpc.endswith("Watch") else test.channel.unary_unary
            call = kind(rpc)(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if rpc.endswith(("Describe", "Act", "Episode", "Check")) else call.read())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the message is malformed"
    assert details(caught.value)[0].reason == "MALFORMED_MESSAGE"
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


async def test_an_unexpected_failure_tells_the_client_nothing(
    small_model_bytes: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(small_model_bytes) as test:

        def fail(*args: object) -> None:
            raise OSError("the secret path /home/someone")

        monkeypatch.setattr(test.table.policy, "step", fail)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await test.stub.Act(act(0))
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in f"{caught.value.details()}{caught.value.trailing_metadata()}"
        assert "secret path" in caplog.text
        monkeypatch.undo()
        assert (await test.stub.Act(act(0))).step == 0


async def test_a_request_over_64_kb_is_not_even_read(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await test.stub.Act(act(0, observation=bytes(66_000)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_beyond_the_limit_are_turned_away(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, max_concurrent_rpcs=2) as test:
        streams = [test.stub.ActStream() for _ in range(2)]
        for index, stream in enumerate(streams):
            await stream.write(act(0, f"e{index}"))
            await stream.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await test.stub.Act(act(0))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for stream in streams:
            stream.cancel()


async def test_ending_an_episode_may_be_repeated(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        await test.stub.Act(act(0))
        ends = [await test.stub.EndEpisode(policy_pb2.EndEpisodeRequest(episode_id="e")) for _ in range(2)]
        assert [reply.ended for reply in ends] == [True, False]
        assert len(test.table) == 0


async def test_health_says_serving_and_a_stop_ends_streams_between_steps(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, grace_s=30.0) as test:
        health: Any = health_pb2_grpc.HealthStub(test.channel)
        for name in ("", "lan.policy.v1.PolicyService"):
            reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        stream = test.stub.ActStream()
        await stream.write(act(0))
        assert (await stream.read()).step == 0
        test.stop.set()  # `served` waits for the server, for less than the grace period
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_idle_streams_and_episodes_do_not_stay_for_ever(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes, idle_s=0.2) as test:
        stream = test.stub.ActStream()
        await stream.write(act(0))
        assert (await stream.read()).step == 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert details(caught.value)[0].reason == "IDLE"
        assert len(test.table) == 0


async def test_reflection_is_there_only_when_asked_for(small_model_bytes: bytes) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    for wanted in (False, True):
        async with served(small_model_bytes, reflection=wanted) as test:
            stub = reflection_pb2_grpc.ServerReflectionStub(test.channel)
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            if not wanted:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    _ = [reply async for reply in stub.ServerReflectionInfo(asked)]
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                continue
            (reply,) = [reply async for reply in stub.ServerReflectionInfo(asked)]
            names = {service.name for service in reply.list_services_response.service}
            assert "lan.policy.v1.PolicyService" in names


async def test_a_port_in_use_is_refused(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        with pytest.raises(InputError, match=f"cannot listen on {test.address}"):
            await serve(
                test.table,
                test.address,
                ServerConfig(),
                on_ready=lambda address: None,
                stop=asyncio.Event(),
            )


async def test_a_health_port_answers_for_health_and_nothing_else(small_model_bytes: bytes) -> None:
    port = free_ports(1)
    async with (
        served(small_model_bytes, health=Address("127.0.0.1", port)) as test,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        listed = await health.List(health_pb2.HealthListRequest())
        assert set(listed.statuses) == {"", SERVICE_NAME}
        reply = await health.Check(health_pb2.HealthCheckRequest())
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        policy: Any = policy_pb2_grpc.PolicyServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await policy.Act(act(0))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert test.table.steps == 0
