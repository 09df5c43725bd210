"""Health checks (`grpc.health.v1`), on the agent's own port and on one for container probes.

The servicer that comes with grpcio-health-checking holds a lock while it writes to a watcher: one that reads
nothing holds up every change of status, and so the agent's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.agent.calls import Calls, CallServer
from runtime.agent.episodes import RequestError
from runtime.agent.guard import Guard
from runtime.agent.listening import bind
from runtime.agent.ports import port_options, share_of_descriptors
from runtime.identity.addresses import Address

HEALTH_SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
MAX_WATCHES = 4
"""Watchers at once: fewer than there may be calls, so that checks are always answered."""
TELL_S = 0.5
MAX_PROBE_CONNECTIONS = 256
CALLS_PER_PROBE_CONNECTION = 8
MAX_PROBE_CALLS = MAX_PROBE_CONNECTIONS * CALLS_PER_PROBE_CONNECTION
"""On the probes' port, connections are what is limited: no check waits for another one's slot."""
PROBE_CONNECTION_S = 10.0
"""How long a connection to the probes' port may stay; a probe opens one for each check."""

log = logging.getLogger("lan.agent")


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers for an agent whose services all serve, or none of them; `Guard` ends a Watch that is idle."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = {"", *services}
        self._watches = 0
        self._status = health_pb2.HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._stopping = False

    def serve(self) -> None:
        """Say SERVING from now on."""
        self._set(health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Say NOT_SERVING from now on, first to those that watch, whose calls end with it."""
        self._stopping = True
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        with contextlib.suppress(TimeoutError):  # a watcher that does not take it is told nothing
            async with asyncio.timeout(TELL_S):
                while self._watches:
                    await asyncio.sleep(0.01)

    def _set(self, status: Any) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802
        if request.service not in self._services:
            raise RequestError("NOT_FOUND", "UNKNOWN_SERVICE", "the agent has no such service", "service")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def List(self, request: Any, context: Any) -> health_pb2.HealthListResponse:  # noqa: N802
        each = health_pb2.HealthCheckResponse(status=self._status)
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(self._services, each))

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        if self._watches >= MAX_WATCHES:
            raise RequestError("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHES", f"{MAX_WATCHES} calls watch already")
        self._watches += 1
        try:
            while True:
                changed = self._changed
                status = self._status_of(request.service)
                await context.write(health_pb2.HealthCheckResponse(status=status))
                if self._stopping:
                    return
                await changed.wait()
        finally:
            self._watches -= 1

    def _status_of(self, service: str) -> Any:
        known = service in self._services
        return self._status if known else health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def make_health_server(health: Health, address: Address, calls: Calls) -> CallServer:
    """A second server for health alone, because container probes can show no certificate.

    Anybody who reaches the port may call it, so its connections end soon, whatever they do.
    """
    options = port_options(
        max_connections=share_of_descriptors(MAX_PROBE_CONNECTIONS, 8),
        streams_per_connection=CALLS_PER_PROBE_CONNECTION,
        max_request_bytes=1024,
    )
    ends = (
        ("grpc.max_connection_age_ms", round(1000 * PROBE_CONNECTION_S)),
        ("grpc.max_connection_age_grace_ms", 1000),
    )
    server = CallServer(calls, (Guard(calls, PROBE_CONNECTION_S),), (*options, *ends))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    bound = bind(server, address, None, "--health")
    if not bound.is_loopback:
        log.info("health checks are answered at %s, for everybody who can reach it", bound)
    return server
