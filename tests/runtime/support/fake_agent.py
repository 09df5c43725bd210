"""An agent of the tests' small environment that answers what a test wants, down to the bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from protos import policy_pb2
from protos.contract import ERROR_DOMAIN, SERVICE_NAME, STATUS_DETAILS_KEY
from tests.runtime.support.tag_env import SPEC


def description(agent_id: int = 0, **changes: object) -> Any:
    """How an agent of the team describes itself."""
    return policy_pb2.DescribeResponse(
        **{
            "agent_id": agent_id,
            "model_sha256": "0" * 64,
            "environment": SPEC.name,
            "obs_dim": SPEC.obs_dim,
            "n_actions": SPEC.n_actions,
            "n_agents": SPEC.n_agents,
            "contract_version": SPEC.contract_version,
            "state_dim": SPEC.state_dim,
            "unit_dim": SPEC.unit_dim,
            "episode_limit": SPEC.episode_limit,
            **changes,
        }
    )


def choice(request: Any) -> Any:
    """The right answer: the last action that is available."""
    action = max(action for action, can in enumerate(request.available_actions) if can)
    return policy_pb2.ActResponse(step=request.step, action=action)


def error_details(reason: str, **metadata: str) -> bytes:
    """A google.rpc.Status with one ErrorInfo."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata))
    return status_pb2.Status(code=9, details=[detail]).SerializeToString()


class Refusal(Exception):  # noqa: N818
    """Ends a call with a status, and with details that may be any bytes."""

    def __init__(self, code: grpc.StatusCode, text: str, details: bytes | None = None) -> None:
        super().__init__(text)
        self.code, self.text, self.details = code, text, details


Answer = Callable[[Any], bytes | None]
"""From a request to the bytes of its answer, None for no answer at all; or it raises Refusal."""


class FakeAgent:
    """What it answers to each rpc; `ended` are the episodes that it was told to forget."""

    def __init__(self, agent_id: int = 0) -> None:
        self.describe: Answer = lambda request: description(agent_id).SerializeToString()
        self.act: Answer = lambda request: choice(request).SerializeToString()
        self.end: Answer = lambda request: b""
        self.delay_s = 0.0
        """How long it thinks about a step."""
        self.asked: list[Any] = []
        self.ended: list[str] = []

    async def _describe(self, data: bytes, context: Any) -> bytes | None:
        return await self._answer(self.describe, policy_pb2.DescribeRequest.FromString(data), context)

    async def _act(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for data in requests:
            self.asked.append(policy_pb2.ActRequest.FromString(data))
            await asyncio.sleep(self.delay_s)
            answer = await self._answer(self.act, self.asked[-1], context)
            if answer is None:
                return
            yield answer

    async def _end(self, data: bytes, context: Any) -> bytes | None:
        request = policy_pb2.EndEpisodeRequest.FromString(data)
        answer = await self._answer(self.end, request, context)
        self.ended.append(request.episode_id)
        return answer

    async def _answer(self, answer: Answer, request: Any, context: Any) -> bytes | None:
        try:
            return answer(request)
        except Refusal as refusal:
            trailers = () if refusal.details is None else ((STATUS_DETAILS_KEY, refusal.details),)
            await context.abort(refusal.code, refusal.text, trailers)
            raise

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on loopback; yields the address."""
        server = grpc.aio.server()
        handlers = {
            "Describe": grpc.unary_unary_rpc_method_handler(self._describe),
            "ActStream": grpc.stream_stream_rpc_method_handler(self._act),
            "EndEpisode": grpc.unary_unary_rpc_method_handler(self._end),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))
        address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        await server.start()
        try:
            yield address
        finally:
            await server.stop(0)


@contextlib.asynccontextmanager
async def fake_team(*agents: FakeAgent) -> AsyncIterator[str]:
    """Agents on loopback; yields their addresses as for --agents."""
    async with contextlib.AsyncExitStack() as stack:
        yield ",".join([await stack.enter_async_context(agent.listening()) for agent in agents])
