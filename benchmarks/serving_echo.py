"""The yardstick of benchmarks.serving: a bare gRPC echo, in as many processes as a team has agents.

python -m benchmarks.serving_echo COUNT FIRST_PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: with more threads nothing can be forked

import grpc
import grpc.aio

from envs.types import EnvSpec
from protos import policy_pb2, policy_pb2_grpc
from runtime.agent.child import Child
from runtime.agent.lifeline import Lifeline
from runtime.agent.signals import SignalInbox
from runtime.agent.supervisor import SIGNALS, Supervisor
from runtime.identity.addresses import Address

REPLY = b"\x08\x64\x10\x07"  # an ActResponse: step 100, action 7
METHOD = "/bench.Echo/Stream"


async def echo(requests: Any, context: Any) -> None:
    """Answers every request with one fixed reply."""
    while await context.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
        await context.write(REPLY)


class ThoughtlessPolicy(policy_pb2_grpc.PolicyServiceServicer):
    """The policy service without a policy; it serves the spec in the variable SPEC."""

    def __init__(self, agent_id: int) -> None:
        spec = EnvSpec.from_json(os.environ["SPEC"])
        self.identity = policy_pb2.DescribeResponse(
            agent_id=agent_id,
            environment=spec.name,
            obs_dim=spec.obs_dim,
            n_actions=spec.n_actions,
            n_agents=spec.n_agents,
            contract_version=spec.contract_version,
            state_dim=spec.state_dim,
            unit_dim=spec.unit_dim,
            episode_limit=spec.episode_limit,
        )

    async def Describe(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.identity

    async def EndEpisode(self, request: Any, context: Any) -> Any:  # noqa: N802
        return policy_pb2.EndEpisodeResponse(ended=True)

    async def ActStream(self, requests: Any, context: Any) -> None:  # noqa: N802
        while (request := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(policy_pb2.ActResponse(step=request.step, action=7))


def serve_echoes(count: int, port: int) -> int:
    """The yardstick's servers, forked as agents are."""

    async def serve(index: int, address: Address, line: Lifeline) -> None:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        handler = grpc.stream_stream_rpc_method_handler(echo)
        handlers = grpc.method_handlers_generic_handler("bench.Echo", {"Stream": handler})
        server.add_generic_rpc_handlers((handlers,))
        servicer = ThoughtlessPolicy(index)
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(str(address))
        await server.start()
        line.send("ready", str(address))
        await server.wait_for_termination()

    def run(index: int, address: Address, line: Lifeline) -> None:
        asyncio.run(serve(index, address, line))

    children = [Child(index, Address("127.0.0.1", port + index)) for index in range(count)]
    with SignalInbox(SIGNALS) as signals:
        supervisor = Supervisor(children, run, 0.5, signals)
        supervisor.start(60.0)
        print(f"{count} echoes serve", flush=True)
        return supervisor.run()


@contextlib.asynccontextmanager
async def echoes(count: int, port: int, request: bytes) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """One joint step through echoes."""
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port + index}") for index in range(count)]
    streams = [channel.stream_stream(METHOD)() for channel in channels]

    async def one(stream: Any) -> Any:
        await stream.write(request)
        return await stream.read()

    async def step() -> None:
        await asyncio.gather(*(one(stream) for stream in streams))

    try:
        yield step
    finally:
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*(channel.close() for channel in channels))


if __name__ == "__main__":
    sys.exit(serve_echoes(int(sys.argv[1]), int(sys.argv[2])))
