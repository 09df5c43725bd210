"""One connection to one agent, and how to read its answers: who it is, its actions, why it refuses."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from envs.errors import LanError
from envs.types import EnvSpec
from protos import policy_pb2, policy_pb2_grpc
from protos.contract import STATUS_DETAILS_KEY
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects anew, whatever an old one is waiting for
    ("grpc.enable_retries", 0),  # the link retries, knowing the step's deadline
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.enable_http_proxy", 0),
)


class AgentError(LanError):
    """An agent answered, but not as it must; the text says what it did."""


class StreamEndedError(LanError):
    """The agent, or something before it, closed the stream."""


NOT_THERE = (grpc.aio.AioRpcError, OSError)
"""Errors of connecting; timeouts, refused connections and TLS errors are OSErrors."""
PASSING = (*NOT_THERE, asyncio.InvalidStateError, StreamEndedError, DecodeError)
"""Errors that may be over when a step is sent again. InvalidStateError: the stream broke before our write."""


@dataclass(frozen=True)
class Identity:
    """How an agent describes itself."""

    agent_id: int
    model_sha256: str
    spec: EnvSpec
    server_version: str


class Connection:
    """A channel to one agent with a stream for its steps; opened anew, it drops what it had before."""

    def __init__(self, address: Address, tls: HostTls | None) -> None:
        self.address = address
        self._tls = tls
        self._channel: Any = None
        self._stub: Any = None
        self._stream: Any = None
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, agent_id: int | None) -> int | None:
        """Make a new channel; with TLS, only to agent `agent_id`, or (None) to any one agent.

        Returns the certificate's id; without TLS, `agent_id`. OSError when no agent's certificate is shown.
        """
        self.drop()
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(self.address.target, options=CHANNEL_OPTIONS)
        else:
            agent_id = await self._tls.identify(self.address) if agent_id is None else agent_id
            self._channel = self._tls.channel(self.address, agent_id, CHANNEL_OPTIONS)
        self._stub = policy_pb2_grpc.PolicyServiceStub(self._channel)  # type: ignore[no-untyped-call]
        return agent_id

    async def describe(self, timeout_s: float) -> Identity:
        """Ask the agent who it is; AioRpcError when it does not answer."""
        return read_identity(await self._stub.Describe(policy_pb2.DescribeRequest(), timeout=timeout_s))

    async def exchange(self, request: Any) -> Any:
        """The ActResponse to one step, over the stream; one of PASSING when it breaks, or AgentError."""
        if self._stream is None:
            self._stream = self._stub.ActStream()
        stream = self._stream
        await stream.write(request)
        while True:
            reply = await stream.read()
            if reply is grpc.aio.EOF:  # type: ignore[attr-defined]
                raise StreamEndedError
            if reply.step == request.step:
                return reply
            if reply.step > request.step:
                raise AgentError(f"it answered step {reply.step} when asked for {request.step}")
            # An earlier step's answer, delivered twice: it was taken already.

    async def end_episode(self, episode_id: str, timeout_s: float) -> None:
        """Have the agent forget an episode; AioRpcError when it does not answer."""
        request = policy_pb2.EndEpisodeRequest(episode_id=episode_id)
        await self._stub.EndEpisode(request, timeout=timeout_s)

    def drop_stream(self) -> None:
        """Give up the stream; the next step opens another."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def drop(self) -> None:
        """Close the channel without waiting for it."""
        self.drop_stream()
        if self._channel is not None:
            closing = asyncio.create_task(self._channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._channel = None

    async def close(self) -> None:
        """Close the channel, and wait until it and all earlier ones are closed."""
        self.drop()
        await asyncio.gather(*self._closing)


def read_identity(reply: Any) -> Identity:
    """An agent's Describe as plain data."""
    spec = EnvSpec(
        name=reply.environment,
        n_agents=reply.n_agents,
        n_actions=reply.n_actions,
        obs_dim=reply.obs_dim,
        state_dim=reply.state_dim,
        unit_dim=reply.unit_dim,
        episode_limit=reply.episode_limit,
        contract_version=reply.contract_version,
    )
    return Identity(reply.agent_id, reply.model_sha256, spec, reply.server_version)


def in_words(error: Exception) -> str:
    """The error as a phrase for logs."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if not isinstance(error, grpc.aio.AioRpcError):
        return "its stream broke"
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return "it cannot be reached"
    return f"{error.code().name}: {error.details()}"


def expected_step(error: Exception) -> int | None:
    """The step that an agent asks for when it refuses another one: 0 when it does not know the episode."""
    metadata: Any = error.trailing_metadata() if isinstance(error, grpc.aio.AioRpcError) else None
    for key, value in metadata or ():
        if key != STATUS_DETAILS_KEY:
            continue
        for info in error_infos(value):
            if info.reason in ("STEP_OUT_OF_ORDER", "UNKNOWN_EPISODE"):
                text = info.metadata.get("expected_step", "")
                return int(text) if re.fullmatch("[0-9]{1,10}", text) else None
    return None


def error_infos(data: bytes) -> list[Any]:
    """The ErrorInfos of a serialized google.rpc.Status; none when it is malformed."""
    infos = []
    try:
        for detail in status_pb2.Status.FromString(data).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                infos.append(info)
    except DecodeError:
        return []
    return infos
