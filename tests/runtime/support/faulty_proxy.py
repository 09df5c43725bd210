"""A proxy before one agent that cuts connections, and drops, repeats, delays and reorders what passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np

from protos import policy_pb2_grpc

FAULTS = {
    "cut before": 0.01,
    "cut after": 0.01,
    "drop request": 0.004,
    "drop reply": 0.004,
    "repeat request": 0.03,
    "repeat reply": 0.03,
    "delay": 0.03,
    "stale request": 0.03,
}


class FaultyProxy(policy_pb2_grpc.PolicyServiceServicer):
    """Forwards to an agent, by single calls, what comes in over a stream; `counts` says what it did to it."""

    def __init__(self, agent: Any, rng: np.random.Generator) -> None:
        self.agent = agent
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self.seen: list[Any] = []

    async def Describe(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self.forward(self.agent.Describe, request, context)

    async def EndEpisode(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self.forward(self.agent.EndEpisode, request, context)

    async def ActStream(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            fault = self.choose()
            self.counts[fault] += 1
            if fault == "cut before":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            if fault == "drop request":
                continue
            if fault == "stale request" and self.seen:
                stale = self.seen[int(self.rng.integers(len(self.seen)))]
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self.agent.Act(stale, timeout=5)
            reply = await self.forward(self.agent.Act, request, context)
            self.seen = [*self.seen[-20:], request]
            if fault == "repeat request":
                assert await self.forward(self.agent.Act, request, context) == reply
            if fault == "cut after":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            if fault == "drop reply":
                continue
            if fault == "delay":
                await asyncio.sleep(float(self.rng.uniform(0, 0.02)))
            yield reply
            if fault == "repeat reply":
                yield reply

    def choose(self) -> str:
        faults = [*FAULTS, "none"]
        odds = [*FAULTS.values(), 1 - sum(FAULTS.values())]
        return faults[int(self.rng.choice(len(faults), p=odds))]

    async def forward(self, call: Any, request: Any, context: Any) -> Any:
        try:
            return await call(request, timeout=5)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))


@contextlib.asynccontextmanager
async def proxied(addresses: str, seed: int) -> AsyncIterator[tuple[str, list[FaultyProxy]]]:
    """Proxies before a team: their addresses, and the proxies."""
    async with contextlib.AsyncExitStack() as stack:
        proxies, ports = [], []
        for index, address in enumerate(addresses.split(",")):
            options = (("grpc.max_reconnect_backoff_ms", 100), ("grpc.initial_reconnect_backoff_ms", 100))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            stub = policy_pb2_grpc.PolicyServiceStub(channel)
            proxies.append(FaultyProxy(stub, np.random.default_rng([seed, index])))
            server = grpc.aio.server()
            policy_pb2_grpc.add_PolicyServiceServicer_to_server(proxies[-1], server)
            ports.append(server.add_insecure_port("127.0.0.1:0"))
            await server.start()
            stack.push_async_callback(server.stop, 0)
        yield ",".join(f"127.0.0.1:{port}" for port in ports), proxies
