"""What an agent's gRPC ports have in common: limits on their connections.

A connection costs a descriptor and up to 70 kB. gRPC by itself limits neither their number, nor how long one
may stay without a call, nor how many calls one may hold open.
"""

from __future__ import annotations

import resource

MAX_CONNECTIONS = 1280
"""Connections to an agent's own port: a host still gets one while somebody else holds a thousand."""
MAX_OPEN_FILES = 4096
HANDSHAKE_TIMEOUT_S = 5.0
"""A connection that has not said by then that it speaks HTTP/2 (and TLS) is closed."""
CONNECTION_IDLE_S = 60.0
"""A connection without a call for so long is closed; a gRPC client opens the next one by itself."""
MIN_PING_INTERVAL_MS = 10_000


def port_options(
    *, max_connections: int, streams_per_connection: int, max_request_bytes: int
) -> tuple[tuple[str, int], ...]:
    """gRPC's options for a server whose clients hold a bounded number of connections, calls and bytes."""
    return (
        # With port sharing on, a second server on the port silently takes part of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.max_concurrent_streams", streams_per_connection),
        ("grpc.server_handshake_timeout_ms", round(1000 * HANDSHAKE_TIMEOUT_S)),
        ("grpc.max_connection_idle_ms", round(1000 * CONNECTION_IDLE_S)),
        # A peer that is gone, or reads nothing, is noticed, and its connection is closed.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A client's own pings may come this often; gRPC by itself ends a stream with more than one in 5 min.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    )


def share_of_descriptors(most: int, divisor: int) -> int:
    """A limit on connections: `most`, or a part of the files that the process may have open, if less.

    The process's own limit on open files is raised first, as far as the system lets it and there is a use.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < MAX_OPEN_FILES:
        soft = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return most if soft == resource.RLIM_INFINITY else min(most, soft // divisor)
