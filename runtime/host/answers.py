"""What an agent's answers say to the host: who it is, which step it expects, what went wrong."""

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
from protos.contract import STATUS_DETAILS_KEY


class AgentError(LanError):
    """An agent that answers, but not as it must; the text says what it did."""


class StreamEndedError(LanError):
    """The agent, or something before it, closed the stream."""


NOT_THERE = (grpc.aio.AioRpcError, OSError)
"""What connecting fails with; timeouts, refused connections and TLS errors are OSErrors."""
PASSING = (*NOT_THERE, asyncio.InvalidStateError, StreamEndedError, DecodeError)
"""What may be over when a step is sent again. InvalidStateError: the stream broke before we wrote to it."""


@dataclass(frozen=True)
class Identity:
    """What an agent says of itself."""

    agent_id: int
    model_sha256: str
    spec: EnvSpec
    server_version: str


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
    """What went wrong, for a person."""
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
