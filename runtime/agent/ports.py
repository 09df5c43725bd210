"""What an agent's gRPC ports have in common: limits on their connections, and how they are listened on.

A connection costs a descriptor and up to 70 kB. gRPC by itself limits neither their number, nor how long one
may stay without a call, nor how many calls one may hold open.
"""

from __future__ import annotations

import resource
from typing import Any

from envs.errors import InputError
from runtime.identity.addresses import Address

MAX_CONNECTIONS = 1280
"""Connections to an agent's own port: a host still gets one while somebody else holds a thousand."""
MAX_OPEN_FILES = 4096
HANDSHAKE_TIMEOUT_S = 5.0
"""A connection that has not said by then that it speaks HTTP/2 (and TLS) is closed."""
CONNECTION_IDLE_S = 60.0
"""A connection without a call for so long is closed; a gRPC client opens the next one by itself."""


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


def bind(server: Any, address: Address, credentials: Any, flag: str = "--listen") -> Address:
    """Listen, and return the address with its real port; InputError, naming the flag, when that cannot be."""
    try:
        if credentials is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise InputError(
            f"cannot listen on {address}: the port is in use or the address is not this machine's; "
            f"choose another with {flag}"
        )
    return Address(address.host, port)
