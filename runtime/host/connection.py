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
from envs.text import one_line
from envs.types import EnvSpec
from protos import policy_pb2
from protos.contract import SERVICE_NAME, STATUS_DETAILS_KEY
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects anew, whatever an old one is waiting for
    ("grpc.enable_retries", 0),  # the link retries, knowing the step's deadline
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.enable_http_proxy", 0),
)


SHOWN_CHARACTERS = 200
"""How much of an agent's own words a message shows."""


class AgentError(LanError):
    """An agent answered, but not as it must; the text says what it did."""


class StreamEndedError(LanError):
    """The agent, or something before it, closed the stream."""


class NotConnectedError(LanError):
    """There is no channel to the agent."""


NOT_THERE = (grpc.aio.AioRpcError, OSError, NotConnectedError)
"""Errors of connecting; timeouts, refused connections and TLS errors are OSErrors."""
PASSING = (*NOT_THERE, asyncio.InvalidStateError, StreamEndedError)
"""Errors that may be over when a step is sent again. InvalidStateError: the stream broke before our write."""


@dataclass(frozen=True)
class Identity:
    """How an agent describes itself."""

    agent_id: int
    model_sha256: str
    spec: EnvSpec
    server_version: str


class Connection:
    """A channel to one agent with a stream for its steps; opened anew, it drops what it had before.

    Answers arrive as bytes and are decoded here: for one that is no message, grpc.aio would log a traceback
    and hand out None (`deserialize` in grpc/_common.py).
    """

    def __init__(self, address: Address, tls: HostTls | None) -> None:
        self.address = address
        self._tls = tls
        self._channel: Any = None
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
            try:
                agent_id = await self._tls.identify(self.address) if agent_id is None else agent_id
            except UnicodeError:  # what looks names up demands labels of 1 to 63 characters
                raise AgentError(f"{self.address.host!r} cannot be the name of a machine") from None
            self._channel = self._tls.channel(self.address, agent_id, CHANNEL_OPTIONS)
        return agent_id

    async def describe(self, timeout_s: float) -> Identity:
        """Ask the agent who it is; AioRpcError without an answer, AgentError for nonsense."""
        call = self._channel.unary_unary(path("Describe"))
        request = policy_pb2.DescribeRequest().SerializeToString()
        return read_identity(decoded(policy_pb2.DescribeResponse, await call(request, timeout=timeout_s)))

    async def exchange(self, request: Any) -> Any:
        """The ActResponse to one step, over the stream; one of PASSING when it breaks, or AgentError."""
        if self._stream is None:
            self._stream = self._channel.stream_stream(path("ActStream"))()
        stream = self._stream
        await stream.write(request.SerializeToString())
        while True:
            data = await stream.read()
            if data is grpc.aio.EOF:  # type: ignore[attr-defined]
                raise StreamEndedError
            reply = decoded(policy_pb2.ActResponse, data)
            if reply.step == request.step:
                return reply
            if reply.step > request.step:
                raise AgentError(f"it answered step {reply.step} when asked for {request.step}")
            # An earlier step's answer, delivered twice: it was taken already.

    async def end_episode(self, episode_id: str, timeout_s: float) -> None:
        """Have the agent forget an episode; one of NOT_THERE without an answer, AgentError for nonsense."""
        if self._channel is None:
            raise NotConnectedError
        call = self._channel.unary_unary(path("EndEpisode"))
        request = policy_pb2.EndEpisodeRequest(episode_id=episode_id).SerializeToString()
        decoded(policy_pb2.EndEpisodeResponse, await call(request, timeout=timeout_s))

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


def path(rpc: str) -> str:
    """The name of one of the service's methods on the wire."""
    return f"/{SERVICE_NAME}/{rpc}"


def decoded(message: Any, data: bytes | None) -> Any:
    """The protobuf `message` that an agent answered with; AgentError when `data` is none.

    gRPC hands out None for a call that ended well without an answer.
    """
    if data is None:
        raise AgentError(f"its answer holds no {message.DESCRIPTOR.name}")
    try:
        return message.FromString(data)
    except DecodeError:
        raise AgentError(f"its answer is no {message.DESCRIPTOR.name}") from None


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
    """The error as a phrase for one line of a log."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if not isinstance(error, grpc.aio.AioRpcError):
        return "its stream broke"
    if has_no_room(error):
        return (
            "it has no room for another episode: other hosts, or killed ones, hold all its --max-episodes; "
            "it forgets those that stand still after its --episode-idle-s"
        )
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return "it cannot be reached"
    return said(error)


def said(error: grpc.aio.AioRpcError) -> str:
    """Status and details of a refusal, the details as far as they are fit to be shown."""
    return f"{error.code().name}: {one_line(error.details(), SHOWN_CHARACTERS)}"


def expected_step(error: Exception) -> int | None:
    """The step that an agent asks for when it refuses another one: 0 when it does not know the episode."""
    for info in refusals(error):
        if info.reason in ("STEP_OUT_OF_ORDER", "UNKNOWN_EPISODE"):
            text = info.metadata.get("expected_step", "")
            return int(text) if re.fullmatch("[0-9]{1,10}", text) else None
    return None


def has_no_room(error: Exception) -> bool:
    """Whether an agent refused an episode because it holds as many as it may."""
    return any(info.reason == "TOO_MANY_EPISODES" for info in refusals(error))


def refusals(error: Exception) -> list[Any]:
    """The ErrorInfos with which an agent refused a call; none for other errors."""
    metadata: Any = error.trailing_metadata() if isinstance(error, grpc.aio.AioRpcError) else None
    return [info for key, value in metadata or () if key == STATUS_DETAILS_KEY for info in error_infos(value)]


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
