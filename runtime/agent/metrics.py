"""Prometheus metrics of one agent, under the names that gRPC servers conventionally use."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.agent.episodes import EpisodeTable, RequestError

LABELS = ("grpc_type", "grpc_service", "grpc_method")
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 10.0, 100.0)


class TableCollector(Collector):
    """The episode table's own counts, read at each scrape, so that a step pays nothing for them."""

    def __init__(self, table: EpisodeTable) -> None:
        self._table = table

    def collect(self) -> Iterator[Metric]:
        """Steps, duplicates and live episodes."""
        table = self._table
        yield CounterMetricFamily("lan_steps", "Steps taken", value=table.steps)
        yield CounterMetricFamily(
            "lan_duplicate_steps", "Steps asked for again and answered from memory", value=table.duplicates
        )
        yield GaugeMetricFamily("lan_live_episodes", "Episodes that are running", value=len(table))


class Metrics(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """An interceptor that counts calls; it belongs before `Guard`, and before every other one."""

    def __init__(self, table: EpisodeTable) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(TableCollector(table))
        names = (*LABELS, "grpc_code")
        started, handled = "RPCs begun", "RPCs ended, by status"
        self._started = Counter("grpc_server_started", started, LABELS, registry=self.registry)
        self._handled = Counter("grpc_server_handled", handled, names, registry=self.registry)
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "Duration of RPCs",
            LABELS,
            registry=self.registry,
            buckets=BUCKETS_S,
        )
        self._rejected = Counter("lan_rejected", "Requests refused", ("reason",), registry=self.registry)

    def count_refusal(self, error: RequestError) -> None:
        """Count a refused request."""
        self._rejected.labels(error.reason).inc()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The handler of a call, counted."""
        handler = await continuation(details)
        _, service, method = details.method.split("/")
        name = "stream_stream" if handler.response_streaming else "stream_unary"
        counted = self._counted(getattr(handler, name), handler.kind, service, method)
        return replace(handler, **{name: counted})

    def _counted(self, behavior: Callable[[Any, Any], Any], *labels: str) -> Callable[[Any, Any], Any]:
        """A handler that counts its starts, its ends by status, and their durations."""
        started, seconds = self._started.labels(*labels), self._seconds.labels(*labels)

        async def call(request: Any, context: Any) -> Any:
            started.inc()
            start_s = time.perf_counter()
            code = "CANCELLED"
            try:
                reply = behavior(request, context)
                if inspect.isawaitable(reply):
                    reply = await reply
                code = "OK"
                return reply
            except Exception:
                code = status_name(context.code())
                raise
            finally:
                self._handled.labels(*labels, code).inc()
                seconds.observe(time.perf_counter() - start_s)

        return call


def status_name(code: Any) -> str:
    """The name of a status that a context holds, as a number or as an enum."""
    for status in grpc.StatusCode:
        if code in (status, status.value[0]):
            return status.name
    return "UNKNOWN"
