"""The agent's gRPC server: the state machine of `runtime.episodes` put on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from envs.command import InputError
from protos import policy_pb2, policy_pb2_grpc
from runtime.address import Address
from runtime.episodes import EpisodeTable, RequestError, StepRequest
from runtime.policy import AgentPolicy
from runtime.version import server_version

ERROR_DOMAIN = "lan.policy.v1"
SERVICE_NAME = "lan.policy.v1.PolicyService"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
MAX_REQUEST_BYTES = 64 * 1024
EXPIRY_INTERVAL_S = 10.0

log = logging.getLogger("lan.agent")


@dataclass(frozen=True)
class ServerConfig:
    """The limits of one server; see the flags of `lan-agent`."""

    max_concurrent_rpcs: int = 64
    grace_s: float = 5.0
    reflection: bool = False


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """Answers for one agent. Computing and committing a step has no `await` in it."""

    def __init__(self, table: EpisodeTable) -> None:
        self.table = table
        self._streams: set[asyncio.Task[Any]] = set()
        self._draining = False

    async def Describe(self, request: Any, context: Any) -> policy_pb2.DescribeResponse:  # noqa: N802
        return describe(self.table.policy)

    async def Act(self, request: Any, context: Any) -> policy_pb2.ActResponse:  # noqa: N802
        try:
            return self.act(request)
        except Exception as error:
            await refuse(context, error)

    async def ActStream(self, requests: Any, context: Any) -> None:  # noqa: N802
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            while (request := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                await context.write(self.act(request))
        except asyncio.CancelledError:
            if not self._draining:
                raise
            await refuse(context, RequestError("UNAVAILABLE", "SHUTTING_DOWN", "the agent is stopping"))
        except Exception as error:
            await refuse(context, error)
        finally:
            self._streams.discard(task)

    async def EndEpisode(self, request: Any, context: Any) -> policy_pb2.EndEpisodeResponse:  # noqa: N802
        try:
            return policy_pb2.EndEpisodeResponse(ended=self.table.end(request.episode_id))
        except Exception as error:
            await refuse(context, error)

    def drain(self) -> None:
        """End the open streams: between two steps, as nothing else waits in there."""
        self._draining = True
        for task in self._streams:
            task.cancel()

    def act(self, request: Any) -> policy_pb2.ActResponse:
        """One step; RequestError when it is refused."""
        reply = self.table.act(
            StepRequest(request.episode_id, request.step, request.observation, request.available_actions),
            time.monotonic(),
        )
        if not request.include_advantages:
            return policy_pb2.ActResponse(step=reply.step, action=reply.action)
        advantages = reply.advantages.astype("<f4").tobytes()
        return policy_pb2.ActResponse(step=reply.step, action=reply.action, advantages=advantages)


def describe(policy: AgentPolicy) -> policy_pb2.DescribeResponse:
    """Who answers here."""
    spec = policy.spec
    return policy_pb2.DescribeResponse(
        agent_id=policy.agent_id,
        model_sha256=policy.digest,
        environment=spec.name,
        obs_dim=spec.obs_dim,
        n_actions=spec.n_actions,
        n_agents=spec.n_agents,
        contract_version=spec.contract_version,
        server_version=server_version(),
        state_dim=spec.state_dim,
        unit_dim=spec.unit_dim,
        episode_limit=spec.episode_limit,
    )


async def refuse(context: Any, error: Exception) -> NoReturn:
    """End the call with the status of `error`; of an unexpected one the client learns nothing."""
    if not isinstance(error, RequestError):
        log.error("a request failed unexpectedly", exc_info=error)
        error = RequestError("INTERNAL", "INTERNAL", "internal error")
    else:
        log.info("refused: %s (%s)", error.message, error.reason)
    trailers = ((STATUS_DETAILS_KEY, status_details(error)),)
    await context.abort(grpc.StatusCode[error.code], error.message, trailers)
    raise AssertionError("abort returned")


def status_details(error: RequestError) -> bytes:
    """A serialized google.rpc.Status with ErrorInfo, and with BadRequest where a field is to blame."""
    metadata = dict(error.metadata)
    if error.field:
        metadata["field"] = error.field
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata)
    details = [any_pb2.Any(), any_pb2.Any()][: 1 + bool(error.field)]
    details[0].Pack(info)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details[1].Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    code = code_pb2.Code.Value(error.code)
    status: bytes = status_pb2.Status(code=code, message=error.message, details=details).SerializeToString()
    return status


def make_server(config: ServerConfig) -> Any:
    """A gRPC server with this project's limits and nothing registered yet."""
    return grpc.aio.server(
        maximum_concurrent_rpcs=config.max_concurrent_rpcs,
        options=(
            # With port sharing on, a second server on the port silently takes part of the connections.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
        ),
    )


def bind(server: Any, address: Address) -> Address:
    """Listen, and return the address with its real port; InputError when that cannot be."""
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError:
        port = 0
    if not port:
        raise InputError(
            f"cannot listen on {address}: the port is in use or the address is not this machine's; "
            "choose another with --listen"
        )
    return Address(address.host, port)


def add_reflection(server: Any) -> None:
    """Let clients ask which services there are."""
    from grpc_reflection.v1alpha import reflection

    names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


async def serve(
    table: EpisodeTable,
    address: Address,
    config: ServerConfig,
    *,
    on_ready: Callable[[Address], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop` is set, then let running calls finish within the grace period.

    InputError when the address cannot be listened on. `on_ready` is called once health says SERVING.
    """
    server = make_server(config)
    servicer = PolicyServicer(table)
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    health_servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    if config.reflection:
        add_reflection(server)
    bound = bind(server, address)
    await server.start()
    for name in ("", SERVICE_NAME):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    sweeper = asyncio.create_task(expire_idle_episodes(table))
    on_ready(bound)
    await stop.wait()
    await health_servicer.enter_graceful_shutdown()
    servicer.drain()
    await server.stop(config.grace_s)
    sweeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeper


async def expire_idle_episodes(table: EpisodeTable) -> None:
    """Forget idle episodes now and then, also when nobody asks for anything."""
    while True:
        await asyncio.sleep(EXPIRY_INTERVAL_S)
        if expired := table.expire(time.monotonic()):
            log.info("forgot %d idle episodes", expired)
