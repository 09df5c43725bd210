"""The agent's gRPC server: the state machine of `runtime.agent.episodes` put on the wire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from envs.version import project_version
from protos import policy_pb2, policy_pb2_grpc
from protos.contract import SERVICE_NAME
from runtime.agent.episodes import EpisodeTable, RequestError, StepRequest
from runtime.agent.guard import Guard, check_caller_is_host
from runtime.agent.health import HEALTH_SERVICE_NAME, Health, make_health_server
from runtime.agent.policy import AgentPolicy
from runtime.agent.ports import MAX_CONNECTIONS, bind, port_options, share_of_descriptors
from runtime.identity.addresses import Address

if TYPE_CHECKING:
    from runtime.agent.metrics import Metrics

MAX_REQUEST_BYTES = 64 * 1024
MORE_STREAMS = 512
SWEEP_INTERVAL_S = 10.0

log = logging.getLogger("lan.agent")


@dataclass(frozen=True)
class ServerConfig:
    """The limits of one server; see the flags of `lan-agent`."""

    max_concurrent_rpcs: int = 64
    grace_s: float = 5.0
    reflection: bool = False
    metrics: Address | None = None
    """Where Prometheus finds the metrics."""
    health: Address | None = None
    """A port for health checks alone, without TLS."""
    credentials: Any = None
    """TLS credentials; with them, only a caller with the host's certificate is served."""


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """Answers for one agent. Computing and committing a step has no `await` in it."""

    def __init__(self, table: EpisodeTable) -> None:
        self.table = table
        self._streams: dict[asyncio.Task[Any], float] = {}  # time of each one's last request
        self._endings: dict[asyncio.Task[Any], RequestError] = {}  # why a stream was ended from here

    async def Describe(self, request: Any, context: Any) -> policy_pb2.DescribeResponse:  # noqa: N802
        return describe(self.table.policy)

    async def Act(self, request: Any, context: Any) -> policy_pb2.ActResponse:  # noqa: N802
        return self.act(request)

    async def ActStream(self, requests: Any, context: Any) -> None:  # noqa: N802
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                self._streams[task] = time.monotonic()
                request = await context.read()
                if request is grpc.aio.EOF:  # type: ignore[attr-defined]
                    return
                await context.write(self.act(request))
        except asyncio.CancelledError:
            if task not in self._endings:
                raise
            raise self._endings[task] from None
        finally:
            self._streams.pop(task, None)
            self._endings.pop(task, None)

    async def EndEpisode(self, request: Any, context: Any) -> policy_pb2.EndEpisodeResponse:  # noqa: N802
        return policy_pb2.EndEpisodeResponse(ended=self.table.end(request.episode_id))

    def drain(self) -> None:
        """End the open streams; each ends between two steps, where it waits for the next request."""
        for task in self._streams:
            self._end(task, RequestError("UNAVAILABLE", "SHUTTING_DOWN", "the agent is stopping"))

    def end_idle_streams(self, idle_s: float, now_s: float) -> int:
        """End the streams without a request for `idle_s` seconds; return how many those were."""
        idle = [task for task, asked_s in self._streams.items() if now_s - asked_s > idle_s]
        for task in idle:
            self._end(task, RequestError("UNAVAILABLE", "IDLE", f"the stream was idle for {idle_s:g} s"))
        return len(idle)

    def _end(self, task: asyncio.Task[Any], why: RequestError) -> None:
        self._endings[task] = why
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
        server_version=project_version(),
        state_dim=spec.state_dim,
        unit_dim=spec.unit_dim,
        episode_limit=spec.episode_limit,
    )


def make_server(config: ServerConfig, metrics: Metrics | None) -> Any:
    """A gRPC server with this project's limits and nothing registered yet."""
    check_caller = None if config.credentials is None else check_caller_is_host
    interceptors: list[Any] = [Guard(check_caller)]
    if metrics is not None:
        interceptors = [metrics, Guard(check_caller, metrics.count_refusal)]
    return grpc.aio.server(
        interceptors=interceptors,
        maximum_concurrent_rpcs=config.max_concurrent_rpcs,
        options=port_options(
            max_connections=share_of_descriptors(MAX_CONNECTIONS, 2),
            # More than there are slots, so that further calls are refused at once instead of waiting unsent.
            streams_per_connection=config.max_concurrent_rpcs + MORE_STREAMS,
            max_request_bytes=MAX_REQUEST_BYTES,
        ),
    )


def add_reflection(server: Any) -> None:
    """Let clients list the services."""
    from grpc_reflection.v1alpha import reflection

    names = (SERVICE_NAME, HEALTH_SERVICE_NAME, reflection.SERVICE_NAME)
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
    metrics = None
    if config.metrics is not None:
        from runtime.agent.metrics import Metrics
        from runtime.agent.scrapes import ScrapePort

        metrics = Metrics(table)
        scrapes = ScrapePort(metrics.registry, config.metrics)
    server = make_server(config, metrics)
    servicer = PolicyServicer(table)
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    health = Health([SERVICE_NAME], table.idle_s)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if config.reflection:
        add_reflection(server)
    bound = bind(server, address, config.credentials)
    servers = [server]
    if config.health is not None:
        servers.append(make_health_server(health, config.health))
    await asyncio.gather(*(each.start() for each in servers))
    health.serve()
    background = [asyncio.create_task(sweep(servicer))]
    if metrics is not None:
        background.append(asyncio.create_task(scrapes.run()))
    on_ready(bound)
    await stop.wait()
    await health.stop()
    servicer.drain()
    await asyncio.gather(*(each.stop(config.grace_s) for each in servers))
    for task in background:
        task.cancel()
    await asyncio.wait(background)


async def sweep(servicer: PolicyServicer) -> None:
    """Forget idle episodes and end idle streams now and then, even without any request."""
    table = servicer.table
    while True:
        await asyncio.sleep(min(SWEEP_INTERVAL_S, table.idle_s))
        now_s = time.monotonic()
        try:
            if expired := table.expire(now_s):
                log.info("forgot %d idle episodes", expired)
        except OSError as error:  # of the journal; the next look tries again
            log.error("idle episodes could not be forgotten: %s", error.strerror or error)
        if ended := servicer.end_idle_streams(table.idle_s, now_s):
            log.info("ended %d idle streams", ended)
