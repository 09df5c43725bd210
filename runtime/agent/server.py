"""The agent's gRPC server: the state machine of `runtime.agent.episodes` put on the wire."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2_grpc

from envs.errors import LanError
from envs.version import project_version
from protos import policy_pb2, policy_pb2_grpc
from protos.contract import SERVICE_NAME
from runtime.agent.calls import Calls, CallServer
from runtime.agent.episodes import EpisodeTable, RequestError, StepRequest
from runtime.agent.guard import EOF, Guard, check_caller_is_host
from runtime.agent.health import HEALTH_SERVICE_NAME, MAX_PROBE_CALLS, Health, make_health_server
from runtime.agent.listening import bind
from runtime.agent.policy import AgentPolicy
from runtime.agent.ports import MAX_CONNECTIONS, port_options, share_of_descriptors
from runtime.identity.addresses import Address
from runtime.logs import tick_logs

if TYPE_CHECKING:
    from runtime.agent.metrics import Metrics

MAX_REQUEST_BYTES = 64 * 1024
MORE_STREAMS = 512
SWEEP_INTERVALS_S = (0.05, 1.0)
"""The least and the most time between two looks for what is overdue."""
STOP_S = 2.0
"""Beyond the grace period, for what waits for nobody."""

log = logging.getLogger("lan.agent")


class ServingError(LanError):
    """The agent can no longer serve, though nobody asked it to stop."""


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

    async def Describe(self, request: Any, context: Any) -> policy_pb2.DescribeResponse:  # noqa: N802
        return describe(self.table.policy)

    async def Act(self, request: Any, context: Any) -> policy_pb2.ActResponse:  # noqa: N802
        return self.act(request)

    async def ActStream(self, requests: Any, context: Any) -> None:  # noqa: N802
        while (request := await context.read()) is not EOF:
            await context.write(self.act(request))

    async def EndEpisode(self, request: Any, context: Any) -> policy_pb2.EndEpisodeResponse:  # noqa: N802
        return policy_pb2.EndEpisodeResponse(ended=self.table.end(request.episode_id))

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


def make_server(
    config: ServerConfig, table: EpisodeTable, calls: Calls, metrics: Metrics | None
) -> CallServer:
    """A gRPC server with this project's limits and nothing registered yet."""
    checks: dict[str, Any] = {}
    if config.credentials is not None:
        checks["check_caller"] = check_caller_is_host
    if metrics is not None:
        checks["on_refusal"] = metrics.count_refusal
    guard = Guard(calls, table.idle_s, **checks)
    options = port_options(
        max_connections=share_of_descriptors(MAX_CONNECTIONS, 2),
        # More than there are slots, so that further calls are refused at once instead of waiting unsent.
        streams_per_connection=config.max_concurrent_rpcs + MORE_STREAMS,
        max_request_bytes=MAX_REQUEST_BYTES,
    )
    return CallServer(calls, (guard,) if metrics is None else (metrics, guard), options)


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
    on_stop: Callable[[], object] = lambda: None,
) -> None:
    """Serve until `stop` is set, then let running calls finish within the grace period.

    InputError when the address cannot be listened on, ServingError when a part ends that must not.
    `on_ready` is called once health says SERVING, and `on_stop` when that is over, for whatever reason.
    """
    calls = [Calls(config.max_concurrent_rpcs)]
    metrics = None
    if config.metrics is not None:
        from runtime.agent.metrics import Metrics
        from runtime.agent.scrapes import ScrapePort

        metrics = Metrics(table)
        scrapes = ScrapePort(metrics.registry, config.metrics)
    server = make_server(config, table, calls[0], metrics)
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(PolicyServicer(table), server)  # type: ignore[no-untyped-call]
    health = Health([SERVICE_NAME])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if config.reflection:
        add_reflection(server)
    bound = bind(server, address, config.credentials)
    servers = {f"the server on {bound}": server}
    if config.health is not None:
        calls.append(Calls(0, MAX_PROBE_CALLS))
        servers[f"the server on {config.health}"] = make_health_server(health, config.health, calls[-1])
    await asyncio.gather(*(each.start() for each in servers.values()))
    health.serve()
    forever: dict[asyncio.Task[Any], str] = {
        asyncio.create_task(each.wait_for_termination()): what for what, each in servers.items()
    }
    forever[asyncio.create_task(sweep(table, calls))] = "the search for what is overdue"
    if metrics is not None:
        forever[asyncio.create_task(scrapes.run())] = f"the metrics port {config.metrics}"
    try:
        on_ready(bound)
        await stay(stop, forever)
    finally:
        on_stop()
        await health.stop()
        await shut_down(list(servers.values()), calls, config.grace_s)
        for task in forever:
            task.cancel()
        await asyncio.gather(*forever, return_exceptions=True)


async def stay(stop: asyncio.Event, forever: Mapping[asyncio.Task[Any], str]) -> None:
    """Wait until `stop` is set; ServingError when one of the tasks ends, for whatever reason, before that."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, *forever], return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        return
    stopping.cancel()
    task, what = next((task, what) for task, what in forever.items() if task.done())
    cause = None if task.cancelled() else task.exception()
    raise ServingError(f"{what} has ended: {cause or 'no reason is known'}") from cause


async def shut_down(servers: Sequence[CallServer], calls: Sequence[Calls], grace_s: float) -> None:
    """End the calls that wait for a peer, and give the others the grace period."""
    for each in calls:
        each.end_waiting(RequestError("UNAVAILABLE", "SHUTTING_DOWN", "the agent is stopping"))
    try:
        async with asyncio.timeout(grace_s + STOP_S):
            await asyncio.gather(*(each.stop(grace_s) for each in servers))
    except TimeoutError:
        log.error("some calls did not end within the grace period")


async def sweep(table: EpisodeTable, calls: Sequence[Calls]) -> None:
    """Forget idle episodes and end overdue calls now and then, even without any request."""
    least_s, most_s = SWEEP_INTERVALS_S
    cut_off = 0
    while True:
        await asyncio.sleep(max(least_s, min(most_s, table.idle_s / 2)))
        if cut_off:
            gc.collect()  # grpcio resets the streams of such calls only then, for it holds them in cycles
        now_s = time.monotonic()
        try:
            if expired := table.expire(now_s):
                log.info("forgot %d idle episodes", expired)
        except OSError as error:  # of the journal; the next look tries again
            log.error("idle episodes could not be forgotten: %s", error.strerror or error)
        told, cut_off = (
            sum(counts) for counts in zip(*(each.end_overdue(now_s) for each in calls), strict=True)
        )
        if told or cut_off:
            log.info("ended %d calls whose peer was late, and cut off %d", told, cut_off)
        tick_logs()
